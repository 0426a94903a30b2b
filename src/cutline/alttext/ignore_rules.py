"""What `.gitignore` files leave out, without running Git, whose settings may start programs.

The patterns are those of https://git-scm.com/docs/gitignore.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path

MAX_BYTES = 10**6
"""A longer `.gitignore` is not read."""


@dataclass(frozen=True)
class Rule:
    """A line of a `.gitignore`."""

    base: tuple[str, ...]
    """The folder of the file, relative to the top."""
    pattern: re.Pattern[str]
    """Matches a path relative to that folder."""
    only_folders: bool
    is_exception: bool


@dataclass(frozen=True)
class IgnoreRules:
    """The rules that hold in a folder, the deciding ones last."""

    rules: tuple[Rule, ...] = ()
    prefix: tuple[str, ...] = ()
    """The names that lead from the repository to the folder in which the search begins."""

    @classmethod
    def above(cls, top: Path) -> "IgnoreRules":
        """The rules of the folders above `top`, up to the repository; none if they ignore `top`."""
        chain = [top, *top.parents]
        height = next((n for n, folder in enumerate(chain) if (folder / ".git").exists()), 0)
        rules, names = cls(), list[str]()
        for folder in reversed(chain[1 : height + 1]):
            rules = rules.enter(folder, names)
            names = [*top.parts[: len(folder.parts) + 1]][-len(names) - 1 :]
            if any(rules.ignores(path, is_folder=True) for path in (names, [*names, "-"])):
                return cls()  # it was named all the same
        return cls(rules.rules, tuple(names))

    def enter(self, folder: Path, names: list[str]) -> "IgnoreRules":
        """The rules together with those of a folder; `names` lead to it from the first one."""
        path = folder / ".gitignore"
        try:
            if not path.is_file() or path.stat().st_size > MAX_BYTES:
                return self
            text = path.read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return self
        base = (*self.prefix, *names)
        found = (_parse(line, base) for line in text.removeprefix("\ufeff").split("\n"))
        return replace(self, rules=(*self.rules, *(rule for rule in found if rule)))

    def ignores(self, names: list[str], *, is_folder: bool) -> bool:
        """Whether a path, whose folder is not ignored, is ignored."""
        path = (*self.prefix, *names)
        for rule in reversed(self.rules):
            if path[: len(rule.base)] != rule.base or (rule.only_folders and not is_folder):
                continue
            if rule.pattern.fullmatch("/".join(path[len(rule.base) :])):
                return not rule.is_exception
        return False


def _parse(line: str, base: tuple[str, ...]) -> Rule | None:
    line = re.sub(r"(?<!\\)[ \t]+$", "", line.rstrip("\r"))
    if line.startswith("#"):
        return None
    is_exception = line.startswith("!")
    line = line[1:] if is_exception else line
    only_folders = line.endswith("/")
    line = line[:-1] if only_folders else line
    if not line:
        return None
    source = _translate(line.removeprefix("/"))
    try:
        pattern = re.compile(source if "/" in line else f"(?:.*/)?{source}", re.S)
    except re.error:  # a range such as [z-a], which matches nothing
        return None
    return Rule(base, pattern, only_folders, is_exception)


_PART = re.compile(
    r"(?P<anywhere>(?:(?<=/)|^)\*\*+/)|(?P<all>(?<=/)\*\*+$)|(?P<some>\*+)|(?P<one>\?)"
    r"|\[(?P<negated>[!^]?)(?P<range>\]?(?:\\.|\[:\w+:\]|[^\]\\])*)\]|\\(?P<escaped>.)|(?P<sign>.)",
    re.S,
)


def _translate(glob: str) -> str:
    """A pattern as a regular expression."""
    parts = list[str]()
    for part in _PART.finditer(glob):
        match part.lastgroup:
            case "anywhere":
                parts.append("(?:.*/)?")
            case "all":
                parts.append(".+")
            case "some":
                parts.append("[^/]*")
            case "one":
                parts.append("[^/]")
            case "range":
                signs = re.sub(r"(?<!\\)\[", r"\\[", part["range"]).removeprefix("]")
                first = "\\]" if part["range"].startswith("]") else ""
                parts.append(f"(?!/)[{'^' if part['negated'] else ''}{first}{signs}]")
            case _:
                parts.append(re.escape(part["escaped"] or part["sign"]))
    return "".join(parts)
