"""`rooflab`: the commands by name, each imported when it is called, and what their errors look like.

Exit status: 0 done, 1 the answer is no (does not fit, service level missed, a check failed), 2 bad input, 130
interrupted. A user's error is one line on stderr; a traceback is a bug.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

import click

from rooflab import __version__
from rooflab.errors import RooflabError

__all__ = ["COMMANDS", "cli", "main"]

COMMANDS: Final = {
    "plan": "The best deployments for a scenario, why, and how to launch them.",
    "estimate": "Closed-form metrics, operator breakdown and physical limit.",
    "simulate": "Event-by-event metrics, latency distributions, timeline, saturation.",
    "ceiling": "What any paper could give a scenario at the most: each kind of work free, or halved.",
    "catalogue": "Models, hardware, links, hosts, prices, grids, workloads, engines, metrics.",
    "validate": "Predicted against measured: errors by metric, source, engine, accelerator, model.",
    "calibrate": "Fit the cost model to rows of your own cluster, or to reports of load generators.",
    "papers": "Papers you can run: list, show, run on a scenario, check, rank, search.",
    "feed": "New papers: fetch them into the store, say what they are about.",
    "runs": "Answers kept with --save: list, show, compare two, export, remove.",
    "inputs": "Kinds of data that papers run on: list, show, an example to start from, check a file.",
    "web": "Papers, plans and simulations as pages for a browser on this machine.",
    "traces": "Public traces: list them, download them, fit your own.",
}
"""Commands with their summaries, so that the overview needs no command's imports; the command NAME lives in
commands/NAME.py."""


class _Lazy(click.Group):
    """A group whose commands are modules of `rooflab.cli.commands`, imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"rooflab.cli.commands.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from rooflab.errors import unknown

            raise unknown("command", args[0], COMMANDS)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="rooflab")
def cli() -> None:
    """Predict, simulate and plan AI serving: a model, on hardware, under a workload, in a deployment.

    A SCENARIO is a YAML file or the same fields as flags, which win over the file.
    """


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    sys.exit(run(args))


def run(args: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status."""
    try:
        status = cli.main(args=list(args) if args is not None else None, prog_name="rooflab", standalone_mode=False)
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        return _complain(error.format_message(), 2)
    except RooflabError as error:
        return _complain(str(error), error.exit_code)
    except MemoryError as error:
        return _complain(f"not enough memory ({error})" if str(error) else "not enough memory", 2)
    except (click.Abort, KeyboardInterrupt):
        return _complain("interrupted", 130)
    except BrokenPipeError:
        # the reader has gone (`| head`): nothing more to say, and nothing to flush at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _complain(message: str, status: int) -> int:
    print(" ".join(message.split()), file=sys.stderr)
    return status


if __name__ == "__main__":
    main()
