"""What makes a good file bad: its bytes, its text, or the values in it."""

import json
import re
from collections.abc import Iterator
from random import Random
from typing import Any

NUMBERS = (0, 1, -1, 2**31 - 1, 2**31, 2**63, 2**64, 10**18, -(2**63), 10**400)
FLOATS = (float("nan"), float("inf"), float("-inf"), 1e308, -0.0, 5e-324)
TEXTS = (
    "",
    " ",
    "\0",
    "a\0b",
    "../home/precious",
    "../../../../../../etc/passwd",
    "/etc/passwd",
    "/dev/zero",
    "C:\\Windows\\x",
    "\ud800",
    "\x1b]0;title\x07\x1b[2J",
    "\u202egpj.exe",
    "=cmd|' /C calc'!A0",
    "<script>alert(1)</script>",
    "evil:Evil",
    "os:system",
    "x" * 10_000,
    "\n\n",
    "%s%n{0}{x.__class__}",
    "NaN",
    "1e999",
    "😀" * 50,
)
"""Texts that some reader may take for more than text."""


def hostile_value(dice: Random, depth: int = 0) -> Any:
    """Anything that JSON can say, and much that nobody expects."""
    kind = dice.randrange(8)
    if kind == 0:
        return dice.choice(NUMBERS)
    if kind == 1:
        return dice.choice(FLOATS)
    if kind in (2, 3):
        return dice.choice(TEXTS)
    if kind == 4:
        return dice.choice((None, True, False))
    if depth > 3:
        return []
    many = dice.choice((0, 1, 1, 2, 5, 300))
    if kind == 5:
        return [hostile_value(dice, depth + 1 + many // 9) for _ in range(many)]
    if kind == 6:
        names = [dice.choice(TEXTS) + str(n) for n in range(min(many, 5))]
        return {name: hostile_value(dice, depth + 1) for name in names}
    return nested(dice.choice((3, 50, 400)))


def nested(depth: int) -> list[Any]:
    """Lists within lists."""
    held: list[Any] = []
    for _ in range(depth):
        held = [held]
    return held


def mutate_value(dice: Random, value: Any) -> Any:
    """A JSON value with one place in it changed; the place is as likely deep as not."""
    places = list(_places(value))
    if not places or dice.random() < 0.02:
        return hostile_value(dice)
    holder, key = dice.choice(places)
    match dice.randrange(6):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[dice.choice(TEXTS)] = holder[key]
        case 2:
            holder[key] = [holder[key]]
        case 3:
            other, name = dice.choice(places)
            if name in other if isinstance(other, dict) else name < len(other):
                holder[key] = json.loads(json.dumps(other[name]))
        case _:
            holder[key] = hostile_value(dice)
    return value


def mutated_json(dice: Random, value: Any) -> bytes:
    """A JSON file that is wrong in one to four places, sometimes no longer JSON."""
    value = json.loads(json.dumps(value))
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        value = mutate_value(dice, value)
    content = json.dumps(value).encode("utf8", "surrogatepass")
    if dice.random() < 0.03:  # a number of more digits than Python reads
        content = re.sub(rb"\d+", b"9" * 5_000, content, count=1)
    return mutate_bytes(dice, content) if dice.random() < 0.15 else content


def _places(value: Any, depth: int = 0) -> Iterator[tuple[Any, Any]]:
    if depth > 6 or not isinstance(value, dict | list):
        return
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        yield from _places(value[key], depth + 1)


def mutate_text(dice: Random, text: str) -> str:
    """Lines lost, doubled, exchanged, cut; hostile texts put in."""
    lines = text.split("\n")
    for _ in range(dice.choice((1, 1, 2, 5))):
        at = dice.randrange(len(lines))
        match dice.randrange(7):
            case 0 if len(lines) > 1:
                del lines[at]
            case 1:
                lines.insert(at, lines[at])
            case 2:
                other = dice.randrange(len(lines))
                lines[at], lines[other] = lines[other], lines[at]
            case 3:
                lines[at] = lines[at][: dice.randrange(len(lines[at]) + 1)]
            case 4:
                lines[at] *= dice.choice((2, 50))
            case _:
                place = dice.randrange(len(lines[at]) + 1)
                lines[at] = lines[at][:place] + dice.choice(TEXTS) + lines[at][place:]
    return "\n".join(lines)


def mutate_bytes(dice: Random, content: bytes) -> bytes:
    """Cut, flipped, with runs of zeros, pieces lost, doubled, or lengths changed."""
    changed = bytearray(content)
    for _ in range(dice.choice((1, 1, 2, 3, 8))):
        at = dice.randrange(len(changed) + 1)
        match dice.randrange(8):
            case 0:
                del changed[at:]
            case 1 | 2 if at < len(changed):
                changed[at] = dice.choice((0, 1, 127, 128, 255, dice.randrange(256)))
            case 3:
                changed[at:at] = bytes(dice.choice((1, 4, 64, 5_000)))
            case 4:
                del changed[at : at + dice.randrange(1, 200)]
            case 5:
                changed[at:at] = changed[at : at + dice.randrange(1, 200)]
            case 6:
                changed[at : at + 4] = dice.choice((b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff"))
            case _:
                changed[at : at + 8] = dice.randbytes(8)
    return bytes(changed)


def encode_strangely(dice: Random, text: str) -> bytes:
    """A text as files hold it: mostly UTF-8, sometimes with a mark, sometimes otherwise."""
    encoding = dice.choice(("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1"))
    return text.encode(encoding, "replace" if encoding == "latin-1" else "surrogatepass")
