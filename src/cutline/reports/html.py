"""One HTML page in one file: style, scripts and data inside, and a policy that forbids all else.

Enters: a title and the body, in pieces. Leaves: the page, in pieces too. Its policy names the hash
of every style and script, so nothing that a caption says can run, and nothing is fetched.
"""

import json
from base64 import b64encode
from collections.abc import Iterable, Iterator
from hashlib import sha256
from html import escape
from importlib.resources import files
from typing import Any

from cutline.io.outputs import GENERATOR
from cutline.version import __version__

THEME = (
    '<label class="theme" hidden>Theme <select id="theme"><option value="">as the system'
    '<option value="light">light<option value="dark">dark</select></label>'
)
"""Shown by the script that makes it work."""


def draw_page(
    title: str,
    body: Iterable[str],
    *,
    styles: Iterable[str] = (),
    scripts: Iterable[str] = (),
) -> Iterator[str]:
    """The page, piece by piece. `styles` and `scripts` are names of files in `assets/`."""
    style = "".join(_read(name) for name in ("page.css", *styles))
    script = "".join(_read(name) for name in ("page.js", *scripts))
    policy = (
        f"default-src 'none'; img-src data:; style-src {_sign(style)}; "
        f"script-src {_sign(script)}; base-uri 'none'; form-action 'none'"
    )
    yield (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f'{GENERATOR}{__version__}">'
        f"<title>{escape(title)}</title><style>{style}</style></head>\n"
        f"<body><header><h1>{escape(title)}</h1>{THEME}</header>\n<main>\n"
    )
    yield from body
    yield f"</main>\n<footer>made by cutline {__version__}</footer>\n"
    yield f"<script>{script}</script>\n</body></html>\n"


def embed(data: Any, name: str) -> str:
    """Data for the page's scripts, under this class; no caption can end the element it is in."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" class="{name}">{text}</script>\n'


def _read(name: str) -> str:
    return (files("cutline.reports") / "assets" / name).read_text(encoding="utf8")


def _sign(content: str) -> str:
    return f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'"
