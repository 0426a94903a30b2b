"""The command that serves captions over HTTP: serve."""

import os
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import click

from cutline.cli.options import (
    device_option,
    min_confidence_option,
    model_option,
    quiet_option,
    server_options,
    style_options,
    threads_option,
)
from cutline.cli.progress import note, warn
from cutline.errors import CutlineError
from cutline.text.style import Style

TOKEN = "CUTLINE_TOKEN"
"""Environment variable that holds the token if no file does."""
MIN_TOKEN_LENGTH = 16
"""Minimum length of a token, in characters."""


@click.command()
@model_option
@device_option
@threads_option
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; 0.0.0.0 accepts connections from other machines.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Port to listen on; 0 for any free port.",
)
@click.option(
    "--token-file",
    type=Path,
    help=f"File with the bearer token that clients must send [default: ${TOKEN}].",
)
@click.option(
    "--cors", "origins", multiple=True, help="Origin whose web pages may send requests, or *."
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Number of processes; one uses all cores already.",
)
@click.option("--json-logs", is_flag=True, help="Write the access log as JSON.")
@click.option(
    "--max-mb",
    type=click.FloatRange(min=0.001, max=256),
    default=27.0,
    show_default=True,
    help="Maximum size of a request, in megabytes.",
)
@click.option(
    "--max-megapixels",
    type=click.FloatRange(min=0.001),
    default=12.5,
    show_default=True,
    help="Maximum size of pictures that are decoded at full size; most JPEGs are not.",
)
@server_options
@min_confidence_option("0")
@style_options
@quiet_option
def serve(
    model: Path | str | None,
    device: str,
    threads: int | None,
    host: str,
    port: int,
    token_file: Path | None,
    origins: tuple[str, ...],
    workers: int,
    json_logs: bool,
    max_mb: float,
    max_megapixels: float,
    min_confidence: float | None,
    style: Style,
    asked: dict[str, Any],
) -> None:
    """Serve captions over HTTP.

    Clients can use POST /caption, the APIs of OpenAI, Ollama, Hugging Face and IBM MAX, and a web
    page at /. Ctrl-C or SIGTERM stops the server after it has answered the requests it accepted.
    """
    try:
        from cutline.models.onnx_runtime import usable_cores
        from cutline.serving import Settings
        from cutline.serving import serve as run
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        raise CutlineError(
            f"serving needs {package}: pip install 'cutline[serve]', or '.[serve]' in a clone"
        ) from None
    from cutline.inference.library import CaptionOptions

    token = _read_token(token_file)
    if not _is_loopback(host):
        note(f"{host} accepts connections from other machines")
        if not token:
            warn("anyone who can connect can use this server: set a token with --token-file")
    settings = Settings(
        model=model,
        device=device,
        asked=asked,
        threads=threads or max(1, usable_cores() // workers),
        options=CaptionOptions(min_confidence=min_confidence or 0.0, style=style),
        token=token,
        origins=origins,
        json_logs=json_logs,
        body_bytes=int(max_mb * 1e6),
        megapixels=max_megapixels,
    )
    run(settings, host=host, port=port, workers=workers)


def _read_token(path: Path | None) -> str:
    """Return the token, or "" without one. Raises `CutlineError` if it is too short."""
    token = os.environ.get(TOKEN, "") if path is None else path.read_text(encoding="utf8")
    token = token.strip()
    if (token or path) and (len(token) < MIN_TOKEN_LENGTH or not token.isascii()):
        where = path or TOKEN
        raise CutlineError(
            f"{where}: a token must have at least {MIN_TOKEN_LENGTH} ASCII characters"
        )
    return token


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
