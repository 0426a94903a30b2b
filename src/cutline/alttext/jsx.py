"""Scans JSX (JavaScript with markup) and Astro for tags with exact offsets of attributes.

Code is told from markup as far as needed: strings, templates, comments, regular expressions and
type parameters of TypeScript. Where that fails, the file as a whole is not read: `UnclearError`.
JSX: https://facebook.github.io/jsx/; Astro: https://docs.astro.build/en/reference/astro-syntax/
"""

import re

from cutline.alttext.html import Attribute, Tag, Text, unwrap

MAX_DEPTH = 100
"""Elements and expressions within each other."""
VOID = re.compile(r"area|base|br|col|embed|hr|img|input|link|meta|param|source|track|wbr")
"""Elements of HTML without an end tag."""


class UnclearError(Exception):
    """The end of an expression or element was not found."""


_TOKEN = re.compile(
    r"""(?P<space>\s+ | //[^\n]* | /\*.*?(?:\*/|\Z))
    | (?P<string>'(?:[^'\\\n]|\\.)*+' | "(?:[^"\\\n]|\\.)*+")
    | (?P<word>[\w$]+) | (?P<open>[{(\[]) | (?P<close>[})\]]) | (?P<sign>.)""",
    re.S | re.X,
)
_OPERATORS = re.compile(
    r"return|typeof|case|default|do|else|in|of|instanceof|new|void|delete"
    r"|throw|yield|await"
)
"""Words after which an expression begins."""
_REGEX = re.compile(r"/(?![*/])(?:[^\\/\[\n]|\\.|\[(?:[^\]\\\n]|\\.){0,200}\]){1,1000}/[a-z]*")
_ELEMENT = re.compile(r"<(?:(?=>)|[A-Za-z_$])")
_TYPES = re.compile(
    r"<(?:const\s+)?[\w$]+\s*(?:,|\sextends\b|=(?!>))|<(?:[A-Z]\d?|T[A-Z]\w*)>\s*\("
)
"""Type parameters of a function: `<T,>(x: T)`."""
_NAME = re.compile(r"<([A-Za-z_$][\w$.:-]*)?(?:<[^<>=;{}]*(?:<[^<>=;{}]*>[^<>=;{}]*)*>)?")
_BETWEEN = re.compile(r"(?:\s+|//[^\n]*|/\*.*?\*/)*", re.S)
_ATTRIBUTE = re.compile(r"([\w$:.@-]+)(\s*=\s*)?")
_END = re.compile(r"</\s*([\w$.:-]*)\s*>")
_NOTHING = re.compile(r"\{(?:\s|(?>/\*.*?\*/)|//[^\n]*+\n|[\"'`]\s*+[\"'`])*+\}", re.S)
"""A comment, or blanks: `{" "}`."""
_MATTER = re.compile(
    r"(?:\xef\xbb\xbf|\ufeff)?\s*---[ \t]*\r?\n.*?^[ \t]*---[ \t]*\r?$", re.S | re.M
)
_RAW = ("script", "style")


def read_jsx(text: str) -> list[Tag | Text]:
    """The tags and texts of a `.jsx` or `.tsx` file, in order. Raises `UnclearError`."""
    scanner = _Scanner(text)
    scanner.read_code(0, 0, is_top=True)
    return scanner.found


def read_astro(text: str) -> list[Tag | Text]:
    """The tags and texts of an `.astro` file, in order. Raises `UnclearError`."""
    scanner = _Scanner(text, is_astro=True)
    matter = _MATTER.match(text)
    scanner.read_page(matter.end() if matter else 0)
    return scanner.found


class _Scanner:
    def __init__(self, text: str, *, is_astro: bool = False) -> None:
        self.text, self.is_astro = text, is_astro
        self.found = list[Tag | Text]()

    def read_page(self, at: int) -> None:
        """The elements of Astro, which need not be closed."""
        while at < len(self.text):
            if end := _END.match(self.text, at):
                self.found.append(Tag(end[1], at, end.end(), is_end=True))
                at = end.end()
            elif _ELEMENT.match(self.text, at):
                at = self.read_tag(at, 0)
                at = self.pass_raw(at)
            else:
                at = self.read_child(at, 0)

    def pass_raw(self, at: int) -> int:
        """The end of the content of a script or style whose tag has just been read."""
        tag = self.found[-1]
        if not isinstance(tag, Tag) or tag.is_closed:
            return at
        is_raw = tag.name in _RAW or tag.get("is:raw") is not None
        if not (is_raw and self.is_astro):
            return at
        close = re.compile(rf"</{re.escape(tag.name)}\s*>").search(self.text, at)
        return close.start() if close else len(self.text)

    def read_code(self, at: int, depth: int, *, is_top: bool = False) -> int:
        """JavaScript up to and with the `}` that closes it, or to the end of the file."""
        if depth > MAX_DEPTH:
            raise UnclearError
        text, opened, ends_value = self.text, list[str](), False
        while token := _TOKEN.match(text, at):
            kind, sign = token.lastgroup, token[0]
            if kind == "space":
                at = token.end()
                continue
            at, was = token.end(), ends_value
            ends_value = kind in ("string", "word") and not _OPERATORS.fullmatch(sign)
            if kind == "open":
                opened.append(sign)
            elif kind == "close":
                if not opened and sign == "}" and not is_top:
                    return at
                if not opened or opened.pop() + sign not in ("{}", "()", "[]"):
                    raise UnclearError
                ends_value = sign != "}"
            elif kind == "sign":
                at, ends_value = self.read_sign(at - 1, was, depth)
        if opened or not is_top:
            raise UnclearError
        return at

    def read_sign(self, at: int, after_value: bool, depth: int) -> tuple[int, bool]:
        """What a sign begins; whether a value ends there."""
        text, sign = self.text, self.text[at : at + 1]
        if sign == "`":
            return self.read_template(at + 1, depth), True
        if sign == "/" and not after_value and (regex := _REGEX.match(text, at)):
            return regex.end(), True
        is_element = sign == "<" and not after_value and _ELEMENT.match(text, at)
        if is_element and not _TYPES.match(text, at):
            return self.read_element(at, depth + 1), True
        return at + 1, False

    def read_template(self, at: int, depth: int) -> int:
        """A template up to and with its closing "`"."""
        sign = re.compile(r"\\.|`|\$\{", re.S)
        while found := sign.search(self.text, at):
            at = found.end()
            if found[0] == "`":
                return at
            if found[0] == "${":
                at = self.read_code(at, depth + 1)
        raise UnclearError

    def read_element(self, at: int, depth: int) -> int:
        """An element within code, with its children."""
        if depth > MAX_DEPTH:
            raise UnclearError
        at = self.read_tag(at, depth)
        tag = self.found[-1]
        if (
            not isinstance(tag, Tag)
            or tag.is_closed
            or (self.is_astro and VOID.fullmatch(tag.name))
        ):
            return at
        at = self.pass_raw(at)
        while at < len(self.text):
            if end := _END.match(self.text, at):
                self.found.append(Tag(end[1], at, end.end(), is_end=True))
                if end[1] != tag.name:
                    raise UnclearError
                return end.end()
            if _ELEMENT.match(self.text, at):
                at = self.read_element(at, depth + 1)
            else:
                at = self.read_child(at, depth)
        raise UnclearError

    def read_child(self, at: int, depth: int) -> int:
        """Text, an expression or a comment between tags."""
        text = self.text
        if text.startswith("{", at):
            before = len(self.found)
            end = self.read_code(at + 1, depth + 1)
            if len(self.found) == before and not _NOTHING.fullmatch(text, at, end):
                self.found.append(Text(at, end))
            return end
        if self.is_astro and text.startswith("<!", at):
            closer = "-->" if text.startswith("<!--", at) else ">"
            close = text.find(closer, at)
            return close + len(closer) if close >= 0 else len(text)
        if text.startswith("<", at) and not self.is_astro:
            raise UnclearError
        sign = re.compile(r"[<{]").search(text, at + 1)
        self.found.append(Text(at, sign.start() if sign else len(text)))
        return sign.start() if sign else len(text)

    def read_tag(self, start: int, depth: int) -> int:
        """`<name attributes>`; elements in its attributes come first."""
        name = _NAME.match(self.text, start)
        assert name
        at, attributes, spreads = name.end(), list[Attribute](), list[str]()
        while True:
            between = _BETWEEN.match(self.text, at)
            at = between.end() if between else at
            closing = re.compile(r"/?\s*>").match(self.text, at)
            if closing:
                break
            if self.text.startswith("{", at):
                end = self.read_code(at + 1, depth + 1)
                code = self.text[at:end]
                if self.is_astro and re.fullmatch(r"\{[\w$]+\}", code):
                    attributes.append(Attribute(code[1:-1], code, at, end))
                elif not _NOTHING.fullmatch(code):
                    spreads.append(code)
                at = end
            else:
                attributes.append(self.read_attribute(at, depth))
                at = attributes[-1].end
        called, is_closed = name[1] or "", closing[0] != ">"
        every = (tuple(attributes), tuple(spreads))
        self.found.append(Tag(called, start, closing.end(), *every, is_closed=is_closed))
        return closing.end()

    def read_attribute(self, start: int, depth: int) -> Attribute:
        text, found = self.text, _ATTRIBUTE.match(self.text, start)
        if not found:
            raise UnclearError
        at, name = found.end(), found[1]
        if not found[2]:
            return Attribute(name, None, start, at)
        quote = text[at : at + 1]
        if quote in ('"', "'"):
            close = text.find(quote, at + 1)
            if close < 0:
                raise UnclearError
            return Attribute(name, text[at + 1 : close], start, close + 1, quote)
        if quote == "{":
            end = self.read_code(at + 1, depth + 1)
        elif quote == "<" and _ELEMENT.match(text, at):
            end = self.read_element(at, depth + 1)
        elif quote == "`" and self.is_astro:
            end = self.read_template(at + 1, depth + 1)
            return Attribute(name, f"{{{text[at:end]}}}", start, end)
        elif self.is_astro and (bare := re.compile(r"[^\s>{\"'`]+").match(text, at)):
            return Attribute(name, bare[0], start, bare.end())
        else:
            raise UnclearError
        value = unwrap(text[at:end])
        return Attribute(name, value, start, end, is_braced=value != text[at:end])
