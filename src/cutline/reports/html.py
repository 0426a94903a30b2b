"""Single-file HTML pages from templates, with a content security policy.

Templates are in `templates/`, style sheets and scripts in `assets/`. Jinja2 escapes every value,
and the policy allows only the page's own style and script, by their hashes, and blocks all other
resources: no caption can run code, and nothing is fetched.
"""

from base64 import b64encode
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from cutline.errors import plural
from cutline.io.outputs import GENERATOR
from cutline.version import __version__


def render_page(
    template: str, title: str, *, assets: str = "", served: bool = False, **context: Any
) -> Iterator[str]:
    """The page in pieces, so that one of thousands of pictures need not be in memory at once.

    `assets` names a further style sheet and script. A page that is `served` may fetch data and
    pictures from its own server.
    """
    names = ("page", assets) if assets else ("page",)
    style, script = ("".join(_read(f"{name}.{kind}") for name in names) for kind in ("css", "js"))
    sources = "img-src 'self'; connect-src 'self'" if served else "img-src data:"
    policy = (
        f"default-src 'none'; {sources}; style-src {_hash(style)}; "
        f"script-src {_hash(script)}; base-uri 'none'; form-action 'none'"
    )
    return (
        _environment()
        .get_template(template)
        .generate(
            title=title,
            style=Markup(style),
            script=Markup(script),
            policy=Markup(policy),
            generator=Markup(GENERATOR),
            version=__version__,
            **context,
        )
    )


def render(template: str, **context: Any) -> Markup:
    """Part of a page."""
    return Markup(_environment().get_template(template).render(context))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("cutline.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    environment.filters["thousands"] = "{:,}".format
    environment.filters["counted"] = plural
    environment.filters["percent"] = "{:.0%}".format
    return environment


def _read(name: str) -> str:
    return (files("cutline.reports") / "assets" / name).read_text(encoding="utf8")


def _hash(content: str) -> str:
    return f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'"
