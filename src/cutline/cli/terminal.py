"""What is said on a terminal: names of files and words of models, none of which steers it.

A name may hold escape sequences that move the cursor, set colours, type or turn the direction of
writing. Into files and pipes everything goes as it is: programs must find the name again.
"""

import sys


def visible(text: str, *, keep: str = "") -> str:
    """Signs that do not print, spelt out: `\\x1b`, `\\u202e`; those in `keep` stay."""
    if text.isprintable():
        return text
    return "".join(
        sign if sign.isprintable() or sign in keep else ascii(sign)[1:-1] for sign in text
    )


def echo(*cells: str, end: str = "\n") -> None:
    """Cells of a line, or lines, on standard output; on a terminal with every sign visible.

    One cell may hold lines and tabs of ours; in several, all signs are somebody's.
    """
    if sys.stdout is None:  # closed by whoever started us
        return
    if sys.stdout.isatty():
        keep = "\n\t" if len(cells) == 1 else ""
        cells = tuple(visible(cell, keep=keep) for cell in cells)
    sys.stdout.write("\t".join(cells) + end)  # not click.echo: it takes escapes out of names
    sys.stdout.flush()
