"""The command line: a command's room is imported when somebody asks for it."""

import io
import os
import sys
from contextlib import suppress
from importlib import import_module

import click

from cutline import __version__
from cutline.errors import CutlineError
from cutline.progress import Stopped, stop_at_once
from cutline.terminal import visible

ROOMS = {
    "captioning": ("caption", "gaze"),
    "making": ("train", "export", "soup", "import"),
    "measuring": ("score", "compare", "evaluate", "calibrate", "inspect", "card"),
    "gathering": ("data",),
    "publishing": ("write", "undo"),
    "reporting": ("report",),
    "proofreading": ("alt",),
}
ROOM_OF = {command: room for room, commands in ROOMS.items() for command in commands}
NAMES = {"import": "adopt"}
"""Commands whose names are words of Python's own."""


class Commands(click.Group):
    """Commands are imported when somebody asks for them: captioning starts sooner."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every name."""
        return list(ROOM_OF)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name."""
        if cmd_name not in ROOM_OF:
            return None
        room = import_module(f"cutline.{ROOM_OF[cmd_name]}")
        return getattr(room, NAMES.get(cmd_name, cmd_name))


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="cutline")
def commands() -> None:
    """Train, measure and run image captioners."""


def main() -> None:
    """The `cutline` command: a user's mistake is one sentence and exit code 1."""
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="surrogateescape")  # file names may be any bytes
    try:
        with stop_at_once():
            _run_and_flush()
    except CutlineError as error:
        sys.exit(visible(f"cutline: {error}"))
    except click.ClickException as error:
        error.show(said := io.StringIO())
        click.echo(visible(said.getvalue(), keep="\n"), err=True, nl=False)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort) as error:
        stopped = error.__cause__ if isinstance(error, click.Abort) else error
        sys.exit(stopped.code if isinstance(stopped, Stopped) else 130)
    except BrokenPipeError:
        _write_nowhere()  # nobody reads us any more
        sys.exit(141)
    except OSError as error:
        _write_nowhere()
        what = error.filename if error.filename is not None else "the output"
        sys.exit(visible(f"cutline: {what}: {error.strerror or error}"))
    except (MemoryError, RecursionError) as error:
        what = "there is too little memory" if isinstance(error, MemoryError) else "it is too deep"
        sys.exit(f"cutline: a file that was read cannot be: {what}")


def _run_and_flush() -> None:
    """Run a command; what standard output refuses is refused here, not when Python has ended."""
    try:
        commands(standalone_mode=False)
    finally:
        if sys.stdout:
            sys.stdout.flush()


def _write_nowhere() -> None:
    """Let nothing more go where nothing can be written: Python would say so once more."""
    with suppress(OSError, ValueError, AttributeError):  # there may be no standard output
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
