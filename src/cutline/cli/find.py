"""The command that searches captions: find."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from cutline.cli.options import json_option, quiet_option
from cutline.cli.progress import note
from cutline.cli.terminal import echo, plural


@click.command()
@click.argument("query")
@click.argument("captions", type=Path, default=Path("captions.jsonl"))
@json_option("the line of each picture")
@quiet_option
def find(query: str, captions: Path, as_json: bool) -> None:
    """Find pictures by the words of their captions.

    QUERY is one or more words, all of which must occur in the caption, also as a synonym, a plural
    or something narrower: `cutline find "dog beach"` finds puppies on the beach, and `animal` finds
    dogs. CAPTIONS is a .jsonl, .csv or .parquet file of `cutline caption --out`
    [default: captions.jsonl]. Prints the path and the caption of each; the exit code is 1 if there
    is none.
    """
    from cutline.io.tables import read_rows
    from cutline.text.tokenizer import split_words

    wanted, count = split_words(query), 0
    if not wanted:
        raise click.UsageError("name one or more words to find")
    for _, row in read_rows(captions):
        caption = row.get("caption")
        if isinstance(caption, str) and _matches(wanted, split_words(caption)):
            count += 1
            if as_json:
                click.echo(json.dumps(row))
            else:
                echo(str(row.get("path", "")), caption)
    note(plural(count, "picture"))
    sys.exit(0 if count else 1)


def _matches(wanted: Sequence[str], words: Sequence[str]) -> bool:
    """Whether each wanted word is one of the words, or names one of the things or a wider one."""
    from cutline.text.nouns import nouns_of, widen

    named = frozenset[str]().union(words, *map(widen, nouns_of(words)))
    return all(word in named or named.issuperset(nouns_of([word]) or [word]) for word in wanted)
