"""The command line: a command's room is imported when somebody asks for it."""

import io
import os
import sys
from importlib import import_module

import click

from cutline import __version__
from cutline.errors import CutlineError
from cutline.progress import Stopped, stop_at_once

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
            commands(standalone_mode=False)
    except CutlineError as error:
        sys.exit(f"cutline: {error}")
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort) as error:
        stopped = error.__cause__ if isinstance(error, click.Abort) else error
        sys.exit(stopped.code if isinstance(stopped, Stopped) else 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads us any more
        sys.exit(141)


if __name__ == "__main__":
    main()
