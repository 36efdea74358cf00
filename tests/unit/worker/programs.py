"""Programs that stand in for interpreters."""

from __future__ import annotations

from pathlib import Path

SNAKEMAKE = '"$GRID_PYTHON" -m snakemake --version'


def program(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def python(folder: Path, name: str, version: str, snakemake: bool) -> Path:
    """A program that answers the probe as a Python of that version would."""
    answer = f"{version} {'yes' if snakemake else 'no'}"
    return program(
        folder, name, f'if [ "$1" = -c ]; then echo "{answer}"; else echo {name} "$@"; fi'
    )
