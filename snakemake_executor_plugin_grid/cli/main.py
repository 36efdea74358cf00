"""The command line: a group with one command per module."""

from __future__ import annotations

from typing import Any

import click

from ..model.errors import GridError
from .auth import auth
from .cancel import cancel
from .check import check
from .clean import clean
from .describe import describe
from .logs import logs
from .report import report
from .status import status


class Commands(click.Group):
    """A group whose commands may raise the errors of this package."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; its errors become the one line that the user reads."""
        try:
            return super().invoke(ctx)
        except GridError as error:
            raise click.ClickException(str(error)) from error


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Look after what runs of 'snakemake --executor grid' need and have left.",
)
@click.version_option(package_name="snakemake-executor-plugin-grid")
def main() -> None:
    """Choose a command."""


main.add_command(auth)
main.add_command(cancel)
main.add_command(check)
main.add_command(clean)
main.add_command(describe)
main.add_command(logs)
main.add_command(report)
main.add_command(status)
