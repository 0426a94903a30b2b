"""Options that several commands have."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, get_args

import click

from cutline.text.style import Form, Style, read_words

model_option = click.option(
    "-m", "--model", type=Path, help="Model folder or one-file model [default: built in]."
)
overwrite_option = click.option(
    "--overwrite", is_flag=True, help="Replace a file of that name which cutline did not make."
)
threads_option = click.option("--threads", type=int, help="Cores to use [default: all].")


def style_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of how captions are to read; the command is given a `Style`."""
    options = (
        click.option(
            "--any-picture", is_flag=True, help="Caption drawings, documents and screenshots too."
        ),
        click.option(
            "--style",
            "told_as",
            type=click.Choice(get_args(Form)),
            default="auto",
            show_default=True,
            help="A phrase is `a zebra`; auto: a phrase in place of a doubtful sentence.",
        ),
    )
    styled = text_options(command)
    for option in options:
        styled = option(styled)
    return styled


def text_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Only those of length and wording: every picture gets a sentence."""

    @wraps(command)
    def styled(
        *given: Any,
        max_chars: int | None,
        avoid: Path | None,
        sentence: bool,
        told_as: Form = "sentence",
        any_picture: bool = True,
        **options: Any,
    ) -> Any:
        words = read_words(avoid) if avoid else frozenset[str]()
        style = Style(max_chars, words, sentence, told_as, any_picture)
        return command(*given, style=style, **options)

    options = (
        click.option("--sentence", is_flag=True, help="With a capital and a full stop."),
        click.option("--avoid", type=Path, help="A file of words that are never written."),
        click.option("--max-chars", type=int, help="The longest caption, in characters."),
    )
    for option in options:
        styled = option(styled)
    return styled
