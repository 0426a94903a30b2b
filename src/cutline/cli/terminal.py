"""Output that is safe for a terminal: file names and words of models cannot control it.

A file name may hold escape sequences that move the cursor, set colours, type text or reverse the
writing direction. Files and pipes receive text unchanged, so that programs find the name again.
"""

import sys

from cutline.errors import plural as plural

_BREAKS = str.maketrans({"\t": "\\t", "\n": "\\n", "\r": "\\r"})


def visible(text: str, *, keep: str = "") -> str:
    """Escape unprintable characters as `\\x1b`, `\\u202e`, except those in `keep`."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in keep else ascii(char)[1:-1] for char in text
    )


def echo(*cells: str, end: str = "\n") -> None:
    """Print tab-separated cells on standard output; escaped if that is a terminal.

    A single cell may hold newlines and tabs of our own. In several cells they are escaped, unless
    the line ends with a null character (`--null`).
    """
    if len(cells) > 1 and end != "\0":
        cells = tuple(cell.translate(_BREAKS) for cell in cells)
    if sys.stdout is None:  # closed by the parent process
        return
    if sys.stdout.isatty():
        keep = "\n\t" if len(cells) == 1 else ""
        cells = tuple(visible(cell, keep=keep) for cell in cells)
    sys.stdout.write("\t".join(cells) + end)  # click.echo would strip escapes from file names
    sys.stdout.flush()
