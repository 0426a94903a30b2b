"""Options of `cutline caption` for many cores or machines: --engine, --ray, --part."""

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from cutline.errors import DataError
from cutline.text.style import Style

if TYPE_CHECKING:
    from cutline.inference.parts import Part

USED = ("paths", "model", "threads", "recursive", "min_confidence", "style", "out", "retry_failed")
"""Parameters of `cutline caption` that mean the same with --engine, beside those of the style."""
STYLE = ("style_form", "any_picture", "sentence", "is_neutral", "avoid", "max_chars")


def _parse_part(_: click.Context, __: click.Parameter, text: str | None) -> "Part | None":
    from cutline.inference.parts import Part

    try:
        return Part.parse(text) if text else None
    except DataError as error:
        raise click.BadParameter(str(error)) from None


part_option = click.option(
    "--part",
    metavar="K/N",
    callback=_parse_part,
    help="With --out: caption only part K of N; `cutline merge` joins the parts.",
)


def engine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--engine` and `--ray`: with an engine, it captions in place of the command."""

    @wraps(command)
    def chosen(*, engine: str | None, ray: str | None, **given: Any) -> Any:
        if not engine:
            if ray:
                raise click.UsageError("--ray needs --engine daft")
            return command(**given)
        _refuse_unused()
        sys.exit(_caption_on_daft(ray=ray, **{name: given[name] for name in USED}))

    address = click.option(
        "--ray", metavar="ADDRESS", help="With --engine: a Ray cluster (experimental)."
    )
    named = click.option(
        "--engine",
        type=click.Choice(["daft"]),
        help="Caption folders, tables, tar shards and URLs with an engine for many cores.",
    )
    return named(address(chosen))


def _refuse_unused() -> None:
    """Raises `UsageError` for options that mean nothing with an engine."""
    context = click.get_current_context()
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        known = parameter.name in ("engine", "ray", "quiet", *USED, *STYLE)
        if source is ParameterSource.COMMANDLINE and not known:
            raise click.UsageError(f"{parameter.opts[0]} cannot be combined with --engine")


def _caption_on_daft(
    *,
    paths: tuple[str, ...],
    model: Path | None,
    threads: int | None,
    recursive: bool,
    min_confidence: float | None,
    style: Style,
    out: Path | None,
    retry_failed: bool,
    ray: str | None,
) -> int:
    """Caption into a folder of Parquet files; the exit code."""
    if not paths or out is None or out.suffix != ".parquet":
        raise click.UsageError(
            "--engine needs what to caption and a folder: cutline caption photos/ --engine daft "
            "--out captions.parquet"
        )
    from cutline.cli.caption import show_progress
    from cutline.cluster import CaptionColumns, caption_on_daft

    columns = CaptionColumns(model, style, min_confidence or 0.0)
    events = caption_on_daft(
        columns,
        paths,
        out,
        workers=threads,
        ray=ray,
        recursive=recursive,
        retry_failed=retry_failed,
    )
    return show_progress(events, out)
