"""The command line: one verb a stage, nothing but glue.

Results go to standard output, as a table on a terminal and as JSON lines anywhere else; progress
and warnings go to standard error. Exit codes: 0 done, 1 something is wrong with data, model or
files, 2 the command was typed wrong, 130 interrupted with Ctrl-C, 141 the reader of the output went
away.

Heavy libraries are imported inside the commands, so that ``pintext --help`` answers at once.
"""

import os
import sys
from typing import Any, NoReturn

import click

from pintext.cli.evaluating import evaluate
from pintext.cli.indexing import compact, delete, index, upsert
from pintext.cli.ingesting import ingest
from pintext.cli.inspecting import explain, export, info, nn
from pintext.cli.making import demo, embed, train
from pintext.cli.neighbors import knn
from pintext.cli.output import Failure, Interrupted
from pintext.cli.pairing import pairs
from pintext.cli.planning import plan
from pintext.cli.searching import calibrate, search
from pintext.cli.serving import serve
from pintext.cli.simulating import simulate
from pintext.cli.tuning import tune
from pintext.errors import PinTextError

__all__ = ["commands", "main"]

_BROKEN_PIPE = 141  # 128 + SIGPIPE, what a shell reports for programs that the signal ends


class Commands(click.Group):
    """A group that turns PinText's errors and Ctrl-C into one line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except PinTextError as error:
            raise Failure(f"error: {error}") from None
        except BrokenPipeError:
            ctx.exit(_BROKEN_PIPE)
        except OSError as error:
            raise Failure(f"error: {error}") from None
        except KeyboardInterrupt:
            raise Interrupted("interrupted") from None


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="pintext", message="%(prog)s %(version)s")
def commands() -> None:
    """Learn a word-embedding dictionary from what people saved and clicked.

    Results go to standard output: a table on a terminal, JSON lines anywhere else. Progress goes to
    standard error.

    \b
    Example:
      pintext train pairs/ --out model/
      pintext nn model/ "wood cabinets" -k 5
    """


VERBS = (
    *(simulate, ingest, pairs, train, tune, evaluate, embed),
    *(index, search, calibrate, upsert, delete, compact),
    *(nn, knn, explain, info, export, serve, plan, demo),
)
for verb in VERBS:
    commands.add_command(verb)


def main() -> NoReturn:
    """Run the command line of this process and exit."""
    try:
        code = commands.main(prog_name="pintext", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except click.Abort:
        code = Interrupted.exit_code
    except BrokenPipeError:
        code = _BROKEN_PIPE
    if code == _BROKEN_PIPE:
        # Python would flush standard output once more on its way out, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code if isinstance(code, int) else 0)
