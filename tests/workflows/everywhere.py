"""The workflow tests that hold for every backend: those of a server collect them once more."""
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
    test_14_the_same_group_in_jobs_of_their_own,
)
from tests.workflows.test_links import test_links_among_inputs, test_links_among_outputs
from tests.workflows.test_paths import (
    test_10_absolute_paths_elsewhere,
    test_10_climbing_paths_and_a_snakefile_outside_of_the_directory,
    test_10_workdir_directive_and_absolute_paths_below_it,
)
from tests.workflows.test_returning import (
    test_a_missing_output_fails_its_job_only,
    test_a_temporary_output_that_nobody_needs,
    test_an_output_in_a_folder_that_is_an_output_too,
    test_empty_files_folders_and_modes_go_there_and_back,
    test_old_outputs_are_replaced_as_a_whole,
    test_protected_outputs_come_back_protected_and_are_not_replaced,
    test_undeclared_files_are_listed_and_come_back_on_request,
)
from tests.workflows.test_runtimes import test_setup_lines_run_first_and_their_failure_is_told
from tests.workflows.test_sources import (
    test_a_glob_that_matches_nothing_is_an_error,
    test_what_is_too_large_is_listed_once_and_travels_by_request,
    test_what_lies_beside_the_workflow_travels,
    test_what_parsing_reads_travels_whatever_its_size,
    test_what_snakemake_lists_travels_though_a_rule_has_it_as_input,
)
from tests.workflows.test_storage import (
    depot,
    test_18_default_storage_provider,
    test_18_storage_directive,
)
from tests.workflows.test_times import (
    test_an_input_from_the_future_is_not_newer_than_the_output,
    test_outputs_are_of_now_in_their_order_and_stay_up_to_date,
    test_temporary_and_ancient_inputs,
)
from tests.workflows.test_updates import (
    test_a_failed_update_leaves_the_file_as_it_was,
    test_an_update_sees_the_old_content,
)
