"""Output that is safe for a terminal: file names and words of models cannot control it.

A file name may hold escape sequences that move the cursor, set colours, type text or reverse the
writing direction. Files and pipes receive text unchanged, so that programs find the name again.
"""

import sys


def visible(text: str, *, keep: str = "") -> str:
    """Escape unprintable characters as `\\x1b`, `\\u202e`, except those in `keep`."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in keep else ascii(char)[1:-1] for char in text
    )


def echo(*cells: str, end: str = "\n") -> None:
    """Print tab-separated cells on standard output; escaped if that is a terminal.

    A single cell may hold newlines and tabs of our own; several cells may not.
    """
    if sys.stdout is None:  # closed by the parent process
        return
    if sys.stdout.isatty():
        keep = "\n\t" if len(cells) == 1 else ""
        cells = tuple(visible(cell, keep=keep) for cell in cells)
    sys.stdout.write("\t".join(cells) + end)  # click.echo would strip escapes from file names
    sys.stdout.flush()


def plural(count: int, noun: str) -> str:
    """`1 error`, `2 errors`."""
    return f"{count} {noun}{'s' * (count != 1)}"
