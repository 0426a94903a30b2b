"""Unified diffs of pages, as `patch -p1` and `git apply` read them, from the edits themselves."""

import os
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

CONTEXT = 3
"""Unchanged lines around a changed one."""
_Line = tuple[bytes, bytes]
"""A line, and what stands before it in a diff: ` `, `-` or `+`."""


@dataclass(frozen=True)
class Edit:
    """Bytes of a file that others replace."""

    start: int
    end: int
    text: bytes


def as_diff(name: str, content: bytes, edits: Sequence[Edit], encoding: str) -> bytes:
    """The diff of a file that edits change, in order; in UTF-8 for a file in UTF-16."""
    return b"".join(_write_hunks(name, list(_mark_lines(_pair_lines(content, edits, encoding)))))


def _pair_lines(
    content: bytes, edits: Sequence[Edit], encoding: str
) -> Iterator[tuple[bytes, bytes]]:
    """Each line, and what became of it: a line, or several where some were added."""

    def read(part: bytes) -> bytes:
        wide = encoding.startswith("utf-16")
        return part.decode(encoding, "replace").encode() if wide else part

    old = new = b""
    at = 0
    for edit in (*edits, Edit(len(content), len(content), b"")):
        # a carriage return ends no line, for `git` and `patch` as well
        *lines, rest = read(content[at : edit.start]).split(b"\n")
        for line in lines:
            yield old + line + b"\n", new + line + b"\n"
            old = new = b""
        old += rest + read(content[edit.start : edit.end])
        new += rest + read(edit.text)
        at = edit.end
    if old or new:
        yield old, new


def _mark_lines(pairs: Iterable[tuple[bytes, bytes]]) -> Iterator[_Line]:
    removed, added = list[_Line](), list[_Line]()
    for old, new in pairs:
        stays = old == new or (old.endswith(b"\n") and new.startswith(old))
        if stays:
            yield from (*removed, *added, (b" ", old))
            removed, added, new = [], [], new[len(old) :]
        elif old:
            removed.append((b"-", old))
        added += [(b"+", line) for line in re.findall(rb"[^\n]*\n|[^\n]+", new)]
    yield from (*removed, *added)


def _write_hunks(name: str, lines: list[_Line]) -> Iterator[bytes]:
    changed = deque(n for n, (sign, _) in enumerate(lines) if sign != b" ")
    if changed:
        yield b"--- %b\n+++ %b\n" % (_quote(f"a/{name}"), _quote(f"b/{name}"))
    places, seen = {b"-": 1, b"+": 1}, 0
    while changed:
        first = last = changed.popleft()
        while changed and changed[0] - last <= 2 * CONTEXT:
            last = changed.popleft()
        first, last = max(0, first - CONTEXT), min(len(lines), last + CONTEXT + 1)
        passed, hunk, seen = lines[seen:first], lines[first:last], last
        parts = list[int]()
        for sign in places:
            before, inside = (sum(s in (b" ", sign) for s, _ in part) for part in (passed, hunk))
            parts += [places[sign] + before, inside]
            places[sign] += before + inside
        yield b"@@ -%d,%d +%d,%d @@\n" % tuple(parts)
        yield from (sign + _ended(line) for sign, line in hunk)


def _quote(name: str) -> bytes:
    """A file's name as `git` and `patch` read it, on one line whatever is in it."""
    content = os.fsencode(name)
    if any(byte < 32 or byte in b'"\\\x7f' for byte in content):
        signs = (f"\\{b:03o}" if b < 32 or b > 126 or b in b'"\\' else chr(b) for b in content)
        return f'"{"".join(signs)}"'.encode()
    return content + (b"\t" if b" " in content else b"")


def _ended(line: bytes) -> bytes:
    return line if line.endswith(b"\n") else line + b"\n\\ No newline at end of file\n"
