"""The command line: a command's module is imported when it is called."""

import io
import logging
import os
import sys
from contextlib import suppress
from importlib import import_module

import click

from cutline.cli.progress import LogHandler, Stopped, stop_at_once
from cutline.cli.terminal import visible
from cutline.errors import CutlineError
from cutline.version import __version__

MODULES = {
    "caption": ("caption", "gaze"),
    "merge": ("merge",),
    "submit": ("submit",),
    "train": ("train", "recipes", "export", "soup", "import"),
    "sweep": ("sweep",),
    "score": ("score", "compare"),
    "evaluate": ("evaluate", "calibrate", "inspect", "card"),
    "data": ("data",),
    "write": ("write", "undo"),
    "find": ("find",),
    "report": ("report",),
    "review": ("review",),
    "alt": ("alt",),
    "serve": ("serve",),
    "web": ("web",),
}
MODULE_OF = {command: module for module, commands in MODULES.items() for command in commands}
NAMES = {"import": "adopt"}
"""Function names of the commands whose own names are Python keywords."""


class Commands(click.Group):
    """A group that imports a command when it is called, so that captioning starts sooner."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands."""
        return list(MODULE_OF)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command with this name."""
        if cmd_name not in MODULE_OF:
            return None
        module = import_module(f"cutline.cli.{MODULE_OF[cmd_name]}")
        return getattr(module, NAMES.get(cmd_name, cmd_name))


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="cutline")
def commands() -> None:
    """Train, measure and run image captioners."""


def main() -> None:
    """Run the `cutline` command; a user's mistake is one sentence and exit code 1 or 2."""
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="surrogateescape")  # file names may hold any bytes
    logging.getLogger("cutline").handlers[:] = [LogHandler()]
    try:
        with stop_at_once():
            _run_and_flush()
    except CutlineError as error:
        sys.exit(visible(f"cutline: {error}"))
    except click.ClickException as error:
        error.show(output := io.StringIO())
        click.echo(visible(output.getvalue(), keep="\n"), err=True, nl=False)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort) as error:
        stopped = error.__cause__ if isinstance(error, click.Abort) else error
        sys.exit(stopped.code if isinstance(stopped, Stopped) else 130)
    except BrokenPipeError:
        _discard_output()  # the reader has closed the pipe
        sys.exit(141)
    except OSError as error:
        _discard_output()
        what = error.filename if error.filename is not None else "the output"
        sys.exit(visible(f"cutline: {what}: {error.strerror or error}"))
    except (MemoryError, RecursionError) as error:
        why = "out of memory" if isinstance(error, MemoryError) else "nested too deeply"
        sys.exit(f"cutline: an input file cannot be read: {why}")


def _run_and_flush() -> None:
    """Run a command and flush its output here, so that a write error is not raised at exit."""
    try:
        commands(standalone_mode=False)
    finally:
        if sys.stdout:
            sys.stdout.flush()


def _discard_output() -> None:
    """Redirect standard output to the null device, so that Python does not fail again at exit."""
    with suppress(OSError, ValueError, AttributeError):  # standard output may be closed
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
