"""The command that serves captions over HTTP: serve."""

import os
from ipaddress import ip_address
from pathlib import Path

import click

from cutline.cli.options import model_option, style_options, threads_option
from cutline.cli.progress import say
from cutline.errors import CutlineError
from cutline.text.style import Style

TOKEN = "CUTLINE_TOKEN"
"""The environment variable that may hold the token."""
FEWEST = 16
"""Characters of a token."""


@click.command()
@model_option
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="The address to listen on; 0.0.0.0 opens the server to everyone who reaches this machine.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True)
@click.option(
    "--token-file", type=Path, help=f"A file with the token that clients must send [{TOKEN}]."
)
@click.option("--cors", "origins", multiple=True, help="A web origin whose pages may ask, or *.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes.")
@click.option("--json-logs", is_flag=True, help="A JSON object for each request.")
@click.option(
    "--max-mb",
    type=click.FloatRange(min=0.001, max=256),
    default=27.0,
    show_default=True,
    help="The largest request.",
)
@click.option(
    "--max-megapixels",
    type=click.FloatRange(min=0.001),
    default=12.5,
    show_default=True,
    help="The largest picture that is decoded whole; most JPEGs are not.",
)
@click.option(
    "--min-confidence",
    type=click.FloatRange(0, 1),
    default=0.0,
    help="Leave out a caption with less.",
)
@style_options
@threads_option
def serve(
    model: Path | None,
    host: str,
    port: int,
    token_file: Path | None,
    origins: tuple[str, ...],
    workers: int,
    json_logs: bool,
    max_mb: float,
    max_megapixels: float,
    min_confidence: float,
    style: Style,
    threads: int | None,
) -> None:
    """Serve captions over HTTP.

    Answers POST /caption, the interfaces of OpenAI, Ollama, Hugging Face and IBM MAX, and a page
    for people at /. Ctrl-C or TERM ends it when accepted requests are answered.
    """
    try:
        from cutline.inference.onnx import usable_cores
        from cutline.serving import Settings
        from cutline.serving import serve as run
    except ModuleNotFoundError as error:
        raise CutlineError(
            f"serving needs {error.name}: pip install 'cutline[serve]', or '.[serve]' in a clone"
        ) from None
    from cutline.inference.library import Wanted

    token = _read_token(token_file)
    if not _is_local(host):
        known = "who has the token" if token else "; a token (--token-file) would keep others out"
        say(f"cutline: open to everyone who reaches {host}{' and ' if token else ''}{known}")
    settings = Settings(
        model,
        threads or max(1, usable_cores() // workers),
        Wanted(min_confidence=min_confidence, style=style),
        token,
        origins,
        json_logs,
        int(max_mb * 1e6),
        megapixels=max_megapixels,
    )
    run(settings, host=host, port=port, workers=workers)


def _read_token(path: Path | None) -> str:
    """The token; empty where none is wanted. Raises `CutlineError` for one that is too short."""
    token = os.environ.get(TOKEN, "") if path is None else path.read_text(encoding="utf8")
    token = token.strip()
    if (token or path) and (len(token) < FEWEST or not token.isascii()):
        where = path or TOKEN
        raise CutlineError(f"{where}: a token has {FEWEST} or more characters, all ASCII")
    return token


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
