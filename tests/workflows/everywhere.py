"""The workflow tests that a server collects once more: of what a backend may do differently.

What only this host or the worker program does is tried on the local backend alone.
"""
# ruff: noqa: F401

from __future__ import annotations

from tests.workflows.test_basics import (
    test_a_chain_with_log_and_benchmark,
    test_the_worker_cannot_see_the_submit_directory,
)
from tests.workflows.test_checkpoints import test_a_checkpoint_runs_once_only
from tests.workflows.test_command import (
    test_11_the_configuration_is_the_same_on_the_worker,
    test_13_units_of_resources_on_the_worker,
)
from tests.workflows.test_failures import (
    test_15_a_killed_job_brings_its_log_only,
    test_15_each_attempt_asks_for_its_own_resources,
    test_15_keep_incomplete_and_retries,
    test_15_logs_come_back_and_outputs_do_not,
    test_a_container_engine_that_is_missing_is_named,
    test_a_failed_group_says_why_too,
)
from tests.workflows.test_groups import (
    test_14_a_group_brings_all_outputs_but_unneeded_temporary_ones,
    test_14_pipes_services_and_node_local_files,
)
from tests.workflows.test_links import test_links_among_outputs
from tests.workflows.test_paths import (
    test_10_climbing_paths_and_a_snakefile_outside_of_the_directory,
)
from tests.workflows.test_returning import (
    test_a_missing_output_fails_its_job_only,
    test_empty_files_folders_and_modes_go_there_and_back,
    test_old_outputs_are_replaced_as_a_whole,
    test_undeclared_files_are_listed_and_come_back_on_request,
)
from tests.workflows.test_runtimes import test_setup_lines_run_first_and_their_failure_is_told
from tests.workflows.test_sources import (
    test_what_is_too_large_is_listed_once_and_travels_by_request,
    test_what_lies_beside_the_workflow_travels,
)
from tests.workflows.test_storage import (
    depot,
    test_18_default_storage_provider,
    test_18_storage_directive,
)
from tests.workflows.test_times import (
    test_outputs_are_of_now_in_their_order_and_stay_up_to_date,
    test_temporary_and_ancient_inputs,
)
from tests.workflows.test_updates import test_a_failed_update_leaves_the_file_as_it_was
