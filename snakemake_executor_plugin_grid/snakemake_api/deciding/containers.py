"""The container of a job (``snakemake.deployment.singularity``, 9.27)."""

from __future__ import annotations

import os
from collections.abc import Callable, Container
from typing import Any

from snakemake.common import is_local_file, parse_uri
from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod

from ...worker.decided import decision
from ...worker.description import WORKDIR
from .decided import Unsupported
from .marking import check
from .paths import Paths


def container_of(
    job: Any, paths: Paths, products: Container[str], mark: Callable[[str], str]
) -> decision.Container | None:
    """Return the container in which the commands of a job run, None without.

    Snakemake binds its storage and its source cache. Neither is on the worker: files in a storage
    are not decided, and files of the source cache lie in the working directory there.

    Args:
        job: ``snakemake.jobs.Job``.
        paths: Of the job; the image file becomes one of its files.
        products: Paths that jobs of the workflow make.
        mark: Puts marks into a text.

    Raises:
        Unsupported: The image is a folder below the working directory.
        WorkflowError: The URL has a blank in it.
    """
    settings = job.rule.workflow.deployment_settings
    if DeploymentMethod.APPTAINER not in settings.deployment_method:
        return None
    url = job.container_img_url
    if not url:
        return None
    url = str(url)
    if " " in url:
        raise WorkflowError("Invalid singularity image URL containing whitespace.", rule=job.rule)
    image = _local(url, paths, products) if is_local_file(url) else check(url)
    return decision.Container(image, arguments=mark(settings.apptainer_args or ""))


def _local(url: str, paths: Paths, products: Container[str]) -> str:
    path = os.path.abspath(check(parse_uri(url).uri_path))  # noqa: PTH100 - keeps links
    image = paths.on_worker(path)
    inside = image.removeprefix(f"{WORKDIR}/")
    if inside == image or inside in products:
        return image  # the node has it, or it is an input
    if os.path.isdir(path):  # noqa: PTH112
        raise Unsupported(f"its container image {inside} is a folder below the working directory")
    paths.files.setdefault(inside, path)
    return image
