"""The language of a page: `<html lang="de">`, or `lang: de` in its front matter."""

import re

from cutline.alttext.html import Tag

_TAG = re.compile(r"[a-zA-Z]{2,3}(?:[-_][a-zA-Z\d]{2,8})*")
_MATTER = re.compile(
    r"(?:\xef\xbb\xbf|\ufeff)?(---|\+\+\+)[ \t]*\r?\n(.*?)^\1[ \t]*\r?$", re.S | re.M
)
_ENTRY = re.compile(
    r"^(?:lang|language|locale)[ \t]*[:=][ \t]*[\"']?([\w-]+)[\"']?[ \t]*(?:#.*)?\r?$", re.M
)


def find_language(tag: Tag) -> str:
    """The `lang` of a tag: `de-AT`; empty if it has none, or a template decides."""
    found = (tag.get("lang") or tag.get("xml:lang") or "").strip()
    return found if _TAG.fullmatch(found) else ""


def read_front_matter(text: str) -> str:
    """The language in the front matter of a page, in YAML or TOML; empty if there is none."""
    matter = _MATTER.match(text)
    entry = _ENTRY.search(matter[2]) if matter else None
    return entry[1] if entry and _TAG.fullmatch(entry[1]) else ""


def differs(one: str, other: str) -> bool:
    """Whether two known languages differ, regions aside: `en-GB` is `en`."""
    return bool(one and other) and not is_same(one, other)


def is_same(one: str, other: str) -> bool:
    """Whether two languages are the same, regions aside."""
    first, second = (re.split("[-_]", each.lower())[0] for each in (one, other))
    return first == second
