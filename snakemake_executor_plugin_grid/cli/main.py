"""The ``snakemake-grid`` command: a group, with one command per module."""

from __future__ import annotations

from typing import Any

import click

from ..console import error_log
from ..model.errors import GridError
from ..resilience.calls import in_words
from .auth import auth
from .cancel import cancel
from .check import check
from .clean import clean
from .describe import describe
from .logs import logs
from .report import report
from .status import status


class Commands(click.Group):
    """A group whose commands can raise the errors of this package."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command, and print its errors without a traceback."""
        try:
            return super().invoke(ctx)
        except GridError as error:
            raise click.ClickException(str(error)) from error
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:
            if error_log.write(str(ctx.invoked_subcommand), error) is None:
                raise  # there is no log: the traceback must not be lost
            raise click.ClickException(in_words(error)) from error


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Prepare, watch and clean up after runs of 'snakemake --executor grid'.",
)
@click.version_option(package_name="snakemake-executor-plugin-grid")
def main() -> None:
    """Run one of the commands."""


main.add_command(auth)
main.add_command(cancel)
main.add_command(check)
main.add_command(clean)
main.add_command(describe)
main.add_command(logs)
main.add_command(report)
main.add_command(status)
