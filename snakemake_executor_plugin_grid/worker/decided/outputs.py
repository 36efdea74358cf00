"""Makes room for the outputs of a step, and checks them afterwards, in the order of Snakemake 9.27.

See `Job.prepare` and `Job.postprocess` in ``snakemake/jobs.py``, `DAG.check_and_touch_output` and
`DAG.handle_ensure` in ``snakemake/dag.py``, and `_IOFile` in ``snakemake/io``.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Collection, Iterable

from .decision import DecidedOutput
from .errors import failed, without_outputs

TIMESTAMP = ".snakemake_timestamp"
"""File in the folder of a ``directory()`` output; its time is that of the output."""
_WRITING = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
_BLOCK = 1 << 20


def make_folder(path: str) -> None:
    """Make the folder of a file.

    Raises:
        StepError: It cannot be made; the message says why.
    """
    folder = os.path.dirname(path)
    if folder:
        try:
            os.makedirs(folder, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise failed(f"the folder of {path} cannot be made: {error.strerror}") from error


def prepare_outputs(outputs: Iterable[DecidedOutput], inputs: Collection[str]) -> None:
    """Remove outputs that are there already, make their folders and the FIFOs.

    Outputs with ``update()``, and those that are also inputs, stay.

    Args:
        outputs: With paths, not marks.
        inputs: Paths of the step's inputs.

    Raises:
        StepError: A folder or FIFO cannot be made.
        OSError: Disk full, and the like.
    """
    kept = _with_folders(inputs)
    for output in outputs:
        path = output.path
        if not output.update and path not in kept:
            remove(path, directory=output.directory)
        make_folder(path)
        if output.pipe:
            try:
                os.mkfifo(path)
            except FileExistsError as error:
                raise failed(f"the pipe {path} cannot be made: {error.strerror}") from error


def _with_folders(paths: Iterable[str]) -> set[str]:
    """Return paths and the folders above them; a job may have 100,000 inputs and outputs."""
    found: set[str] = set()
    for path in paths:
        while path and path not in found:
            found.add(path)
            path = path.rpartition("/")[0]
    return found


def remove(path: str, *, directory: bool = False) -> None:
    """Remove a file; of folders that are no ``directory()``, only empty ones, as Snakemake does."""
    if os.path.isdir(path) and not os.path.islink(path):
        if directory:
            import shutil

            shutil.rmtree(path)
        else:
            with contextlib.suppress(OSError):
                os.removedirs(path)
    elif path != os.devnull:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.remove(path)


def make_missing(path: str, *, directory: bool = False) -> None:
    """Touch a file, or make it empty with its folder."""
    try:
        touch(path, directory=directory)
    except FileNotFoundError:
        if directory:
            os.makedirs(path, exist_ok=True)
            path = f"{path}/{TIMESTAMP}"
        else:
            make_folder(path)
        with open(path, "a"):
            pass


def make_logs(paths: Iterable[str]) -> None:
    """Make log files that do not exist.

    Raises:
        OSError: Disk full, and the like.
    """
    for path in paths:
        if not os.path.exists(path):
            make_missing(path)


def touch(path: str, *, directory: bool = False) -> None:
    """Set the time of an output to now; of a link its own.

    Raises:
        FileNotFoundError: It does not exist.
    """
    if directory and not os.path.islink(path):
        path = f"{path}/{TIMESTAMP}"
        if not os.path.exists(path):
            with open(path, "w"):
                pass
    os.utime(path, follow_symlinks=False)


def check_outputs(outputs: Iterable[DecidedOutput], logs: Iterable[str], benchmark: str) -> None:
    """Check what a step has made, as its flags demand, and set times and permissions.

    Args:
        outputs: With paths, not marks.
        logs: Log files.
        benchmark: The benchmark file; empty without.

    Raises:
        StepError: It names the outputs, and what is wrong.
        OSError: Disk full, and the like.
    """
    for output in outputs:
        if output.touch:
            make_missing(output.path, directory=output.directory)
    make_logs(logs)
    files = [output for output in outputs if not (output.pipe or output.service)]
    if benchmark:
        files.append(DecidedOutput(benchmark))
    if missing := [output.path for output in files if not os.path.exists(output.path)]:
        raise without_outputs(missing)
    for output in files:
        if output.directory != os.path.isdir(output.path):
            wrong = "a file, but directory()" if output.directory else "a folder, but a file"
            raise failed(f"the output {output.path} is {wrong} is declared")
    _ensure(files)
    for output in files:
        touch(output.path, directory=output.directory)
    for output in files:
        if output.protected:
            _protect(output.path)


def _ensure(outputs: Iterable[DecidedOutput]) -> None:
    empty = [one.path for one in outputs if one.non_empty and os.path.getsize(one.path) == 0]
    if empty:
        raise failed(f"ensure() demands that outputs are not empty, but these are: {_list(empty)}")
    for output in outputs:
        if not output.algorithm:
            continue
        found = checksum(output.path, output.algorithm)
        if found != output.checksum:
            raise failed(
                f"ensure() demands the {output.algorithm} checksum {output.checksum} of the output "
                f"{output.path}, but it is {found}"
            )


def checksum(path: str, algorithm: str) -> str:
    """Return the checksum of a file in hexadecimal.

    Raises:
        StepError: It is no file, or this Python does not know the algorithm.
    """
    import hashlib

    try:
        digest = hashlib.new(algorithm)
        if os.path.isfile(path):
            with open(path, "rb") as stream:
                while block := stream.read(_BLOCK):
                    digest.update(block)
            return digest.hexdigest()
    except (ValueError, TypeError) as error:  # unknown, or of variable length
        raise failed(f"ensure() of {path}: no checksum {algorithm!r} here: {error}") from error
    raise failed(f"ensure() of {path}: it is no file, so it has no checksum")


def _protect(path: str) -> None:
    """Take away the permission to write.

    What is in a folder gets the permissions of the folder, as in Snakemake; links are left out, as
    what they point to may be an input.
    """
    mode = stat.S_IMODE(os.lstat(path).st_mode) & ~_WRITING
    found = [path]
    if os.path.isdir(path):
        for folder, folders, files in os.walk(path, topdown=False):
            found[:0] = [os.path.join(folder, name) for name in (*folders, *files)]
    for one in found:
        if not os.path.islink(one):
            os.chmod(one, mode)


def _list(paths: Iterable[str]) -> str:
    return ", ".join(paths)
