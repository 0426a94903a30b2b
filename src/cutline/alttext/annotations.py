"""Missing alt texts as annotations of code hosts: SARIF 2.1.0, and GitHub's workflow commands.

SARIF: https://docs.oasis-open.org/sarif/sarif/v2.1.0/; GitHub: "Workflow commands for GitHub
Actions", `::error file=…,line=…::message`.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from cutline.alttext.audit import Picture, State
from cutline.version import __version__

RULES = {
    "missing-alt": "A picture has no alt text.",
    "placeholder-alt": "The alt text of a picture says nothing.",
    "functional-alt": "A link or button has no text but that of a picture, which has none.",
}
"""The rules by their ids, and what a finding means."""


def rule_of(picture: Picture) -> str:
    """The id of the rule that a picture breaks."""
    ids = {State.PLACEHOLDER: "placeholder-alt", State.FUNCTIONAL: "functional-alt"}
    return ids.get(picture.state, "missing-alt")


def describe(picture: Picture) -> str:
    """A sentence about a finding."""
    named = picture.source if len(picture.source) <= 100 else f"{picture.source[:60]}…"
    if picture.state in (State.PLACEHOLDER, State.FUNCTIONAL):
        return f"{named or 'an img'}: {picture.why}"
    return f"{named or 'an img without src'} has no alt text"


def as_github(picture: Picture) -> str:
    """The workflow command that annotates the line of a picture."""
    page = _escape(_relative(picture.page)).replace(":", "%3A").replace(",", "%2C")
    title = RULES[rule_of(picture)].rstrip(".")
    return f"::error file={page},line={picture.line},title={title}::{_escape(describe(picture))}"


def _escape(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _relative(page: Path) -> str:
    """The page as hosts name it: relative to the current folder, where it is below that."""
    shown = os.path.relpath(page)
    return Path(page if shown.startswith("..") else shown).as_posix()


def as_sarif(pictures: Sequence[Picture]) -> str:
    """A SARIF log with one result per picture."""
    rules = [{"id": name, "shortDescription": {"text": text}} for name, text in RULES.items()]
    driver = {"name": "cutline", "version": __version__, "rules": rules}
    run = {"tool": {"driver": driver}, "results": [_result(picture) for picture in pictures]}
    log = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [run],
    }
    return json.dumps(log, indent=1)


def _result(picture: Picture) -> dict[str, object]:
    place = {
        "artifactLocation": {"uri": quote(os.fsencode(_relative(picture.page)))},
        "region": {"startLine": picture.line},
    }
    return {
        "ruleId": rule_of(picture),
        "level": "error",
        "message": {"text": describe(picture)},
        "locations": [{"physicalLocation": place}],
    }
