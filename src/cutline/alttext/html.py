"""Scans HTML, including templates and malformed pages, for tags with exact offsets of attributes.

Yields `Tag` and `Text` in document order, without building a tree or decoding anything, so that
edits by offset leave the rest of a file unchanged. Existing parsers do not report where an
attribute ends: html.parser gives only the start of a tag, html5lib and lxml not even that, and none
knows template languages. Tags are recognised as in browsers (WHATWG HTML, 13.2.5); doubtful ones
are skipped.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

SPACE = " \t\n\f\r"


@dataclass(frozen=True)
class Dialect:
    """The kind of file."""

    components: bool = False
    """Vue, Svelte, MDX: `<Img>` is not `<img>`, `<style />` is closed, values may be `{code}`."""
    prose: bool = False
    """Markdown: a `<` that does not begin a valid tag is text."""


@dataclass(frozen=True)
class Attribute:
    """`name="value"` and its offsets."""

    name: str
    """In lower case, except in components."""
    value: str | None
    """The raw value without quotes; None if there is none."""
    start: int
    end: int
    quote: str = ""
    is_braced: bool = False
    """It was written as `{"value"}`."""


@dataclass(frozen=True)
class Tag:
    """`<name attributes>` or `</name>`."""

    name: str
    start: int
    end: int
    attributes: tuple[Attribute, ...] = ()
    templates: tuple[str, ...] = ()
    """Template code in place of attributes: `{% if wide %}`, `{{ attributes }}`."""
    is_end: bool = False
    is_closed: bool = False
    """It ends with `/>`."""

    def get(self, name: str) -> str | None:
        """The value of an attribute, `""` if it has none, None if it is missing."""
        for attribute in self.attributes:  # the first counts, as in browsers
            if attribute.name == name:
                return attribute.value or ""
        return None


@dataclass(frozen=True)
class Text:
    """Text between tags, or template output."""

    start: int
    end: int


RAW = ("script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes")
"""Elements whose content is not markup."""
_SIGN = re.compile(r"<(?=[a-zA-Z/!?%])|\{[{%#!@]")
_TAG_NAME = re.compile(r"[a-zA-Z][^ \t\n\f\r/>]*+")
_BETWEEN = re.compile(r"[ \t\n\f\r/]*+")
_NAME = re.compile(r"(?:(?!\{\{|\{%|\{!!|<\?|<%)[^ \t\n\f\r/>=])*+")
_PROSE_NAME = re.compile(r"(?:(?!\{\{|\{%)[^ \t\n\f\r/>=\"'<`])*+")
_OUTPUT = ("{{", "{!!", "<?=", "<%=")
"""Code that generates output, as part of a name: `data-{{ kind }}="1"`."""
_OPENERS = ("{{", "{%", "{!!", "<?", "<%")
_EQUALS = re.compile(r"[ \t\n\f\r]*+=[ \t\n\f\r]*+")
_BARE = re.compile(r"(?:(?!\{\{|\{%|\{!!|<\?|<%)[^ \t\n\f\r>])*+")
_PROSE_BARE = re.compile(r"(?:(?!\{\{|\{%)[^ \t\n\f\r><`])*+")
_ANOTHER_TAG = re.compile(r"<[a-zA-Z/!]")
_COMMENT_END = re.compile(r"--!?>")
_BLANK_LINE = re.compile(r"\n[ \t\r]*\n")
_PHP = re.compile(
    r"""<\?(?:php\b|=)(?:
        [^'"/#?<]++ | '(?:[^'\\]|\\.?)*+(?:'|\Z) | "(?:[^"\\]|\\.?)*+(?:"|\Z)
        | /\*.*?(?:\*/|\Z) | (?://|\#(?!\[))(?:(?!\?>)[^\n])*+
        | <<<[ \t]*["']?(?P<mark>\w+)["']?\r?\n(?:(?:.*?\n)??[ \t]*(?P=mark)\b|.*\Z)
        | \?(?!>) | [/#<'"]
    )*+(?:\?>|\Z)""",
    re.S | re.X,
)
_BLOCK = re.compile(r"\{%-?\s*(comment|highlight)\b")
_CLOSERS = {"{{": "}}", "{%": "%}", "{#": "#}", "{!!": "!!}", "<%": "%>", "<?": "?>"}


def read_markup(text: str, dialect: Dialect | None = None) -> Iterator[Tag | Text]:
    """Yield tags and texts in order, except those in comments, scripts and template code.

    An unclosed tag ends the page, as in browsers.
    """
    yield from _Scanner(text, dialect or Dialect()).read()


@dataclass
class _Scanner:
    text: str
    dialect: Dialect
    _never: set[str] = field(default_factory=set)
    """Delimiters that do not occur any more, so that each search to the end runs only once."""

    def read(self) -> Iterator[Tag | Text]:
        text, at, drawings = self.text, 0, 0
        while sign := _SIGN.search(text, at):
            if sign.start() > at:
                yield Text(at, sign.start())
            at = sign.start()
            passed = self.pass_over(at)
            if passed is not None:
                if text.startswith(("{{", "{!!", "{@"), at):
                    yield Text(at, passed)
                at = passed
                continue
            tag = self.read_tag(at) if text[at] == "<" else None
            if tag is None:
                if text[at] == "<" and not self.dialect.prose:
                    return
                yield Text(at, at + 1)
                at += 1
                continue
            yield tag
            at = tag.end
            if tag.name in ("svg", "math") and not tag.is_closed:
                drawings = max(0, drawings + (-1 if tag.is_end else 1))
            if not tag.is_end and not (tag.is_closed and (drawings or self.dialect.components)):
                at = self.pass_raw(tag)
        if at < len(text):
            yield Text(at, len(text))

    def pass_over(self, at: int) -> int | None:
        """The end of a comment, declaration or template code that begins here, or None."""
        text = self.text
        if (template := self.template_end(at)) is not None:
            return template
        if text.startswith("<!--", at):
            if close := re.compile(r"<!---?>").match(text, at):
                return close.end()
            close = _COMMENT_END.search(text, at + 4)
            return close.end() if close else len(text)
        if text.startswith("<![CDATA[", at) and (end := self.find("]]>", at)) is not None:
            return end
        if text.startswith(("<!", "<?"), at) or (
            text.startswith("</", at) and not text[at + 2 : at + 3].isalpha()
        ):
            end = self.find(">", at)
            if self.dialect.prose and end is None:
                return None
            return len(text) if end is None else end
        return None

    def template_end(self, at: int) -> int | None:
        """The end of template code that begins here, or None."""
        text = self.text
        if text.startswith(("<?php", "<?="), at):
            code = _PHP.match(text, at) if self.find("?>", at) else None
            return code.end() if code else len(text)
        if self.dialect.components and text.startswith("{@", at):  # `{@html code}` of Svelte
            return self.close_brace(at)
        opener = next((sign for sign in _CLOSERS if text.startswith(sign, at)), "")
        if not opener or (opener == "{#" and self.dialect.components):
            return None
        closer = _CLOSERS[opener]
        if text.startswith("{{!--", at):
            closer = "--}}"
        if text.startswith("<%--", at):  # a comment of JSP and ASP
            closer = "--%>"
        if opener == "{%" and (block := _BLOCK.match(text, at)):
            last = self.find(f"end{block[1]}", at)
            return self.find(closer, last or at + 2)
        return self.find(closer, at + len(opener))

    def find(self, sign: str, at: int) -> int | None:
        """The offset after the next occurrence of a delimiter, or None."""
        if sign in self._never:
            return None
        found = self.text.find(sign, at)
        if found < 0:
            self._never.add(sign)
            return None
        return found + len(sign)

    def pass_raw(self, tag: Tag) -> int:
        """The end of the content of a script, style, title …, or of the tag itself."""
        if tag.name == "plaintext":
            return len(self.text)
        if tag.name not in RAW:
            return tag.end
        if tag.name == "script":
            return _script_end(self.text, tag.end)
        closing = re.compile(rf"</{tag.name}(?=[ \t\n\f\r/>])", re.I).search(self.text, tag.end)
        return closing.start() if closing else len(self.text)

    def read_tag(self, start: int) -> Tag | None:
        """The tag that begins here; None if it is unclosed."""
        text, dialect = self.text, self.dialect
        is_end = text.startswith("</", start)
        name = _TAG_NAME.match(text, start + 1 + is_end)
        if name is None:
            return None
        limit = self.limit(start)
        at, attributes, templates = name.end(), list[Attribute](), list[str]()
        while True:
            between = _BETWEEN.match(text, at)
            at = between.end() if between else at
            if at >= limit:
                return None
            if text[at] == ">":
                break
            begun = at
            attribute = self.read_attribute(at, limit)
            if attribute is None:
                return None
            at = attribute.end
            if at <= begun:
                return None
            if is_code(attribute.name):
                templates.append(text[begun:at])
            else:
                attributes.append(attribute)
        called = name[0] if dialect.components else name[0].lower()
        return Tag(
            called,
            start,
            at + 1,
            tuple(attributes),
            tuple(templates),
            is_end=is_end,
            is_closed=text[at - 1] == "/",
        )

    def limit(self, start: int) -> int:
        """The offset by which a tag must be closed."""
        blank = _BLANK_LINE.search(self.text, start) if self.dialect.prose else None
        return blank.start() if blank else len(self.text)

    def read_attribute(self, start: int, limit: int) -> Attribute | None:
        """One attribute or template code in its place; None if a quote is unclosed."""
        text = self.text
        at = self.read_name(start)
        name = text[start:at] if self.dialect.components else text[start:at].lower()
        equals = _EQUALS.match(text, at)
        if not equals or at == start or (is_code(name) and not name.startswith(_OUTPUT)):
            return Attribute(name, None, start, at)
        at = equals.end()
        quote = text[at : at + 1]
        if quote in ('"', "'"):
            close = self.close_quote(at + 1, quote)
            if close is None or close >= limit:
                return None
            return Attribute(name, text[at + 1 : close], start, close + 1, quote)
        if self.dialect.components and quote == "{":
            end = self.close_brace(at)
            value = unwrap(text[at:end])
            return Attribute(name, value, start, end, is_braced=value != text[at:end])
        bare = _PROSE_BARE if self.dialect.prose else _BARE
        end = self.read_parts(at, bare, _OPENERS)
        return Attribute(name, text[at:end], start, end)

    def read_name(self, start: int) -> int:
        """The end of an attribute's name, or of template code in its place."""
        text = self.text
        if self.dialect.components and text[start] == "{":
            return self.close_brace(start)
        if text.startswith(_OPENERS, start) and not text.startswith(_OUTPUT, start):
            return self.inner_template_end(start) or start + 2
        if self.dialect.prose:
            return self.read_parts(start, _PROSE_NAME, _OUTPUT)
        skipped = start + (text[start] == "=")  # a stray one is part of the name
        return self.read_parts(skipped, _NAME, _OUTPUT)

    def read_parts(self, at: int, signs: re.Pattern[str], codes: tuple[str, ...]) -> int:
        """The end of a run of such characters and template code."""
        while True:
            begun = at
            if found := signs.match(self.text, at):
                at = found.end()
            if self.text.startswith(codes, at):  # unclosed code is ordinary characters
                at = self.inner_template_end(at) or at + 2
            if at == begun:
                return at

    def close_quote(self, at: int, quote: str) -> int | None:
        """The closing quote of a value; quotes in template code do not count."""
        sign = re.compile(rf"{quote}|\{{[{{%!]|<[?%]")
        while found := sign.search(self.text, at):
            if found[0] == quote:
                return found.start()
            at = self.inner_template_end(found.start()) or found.end()
        return None

    def inner_template_end(self, at: int) -> int | None:
        """Like `template_end`, for code in a tag, which cannot contain another tag."""
        end = self.template_end(at)
        if end is None or _ANOTHER_TAG.search(self.text, at, end):
            return None
        return end

    def close_brace(self, at: int) -> int:
        """The end of `{code}`, with nested braces."""
        return self.braces.get(at, len(self.text))

    @cached_property
    def braces(self) -> dict[int, int]:
        """The end for each opening brace, computed in one pass, however deeply nested."""
        ends, opened = dict[int, int](), list[int]()
        for brace in re.finditer(r"[{}]", self.text):
            if brace[0] == "{":
                opened.append(brace.start())
            elif opened:
                ends[opened.pop()] = brace.end()
        return ends


def unwrap(value: str) -> str:
    """The text of `{"text"}`, `{true}` or `{12}`; other values as they are."""
    literal = _LITERAL.fullmatch(value)
    if literal is None:
        return value
    return literal[2] if literal[1] else literal[3]


_LITERAL = re.compile(r"""\{\s*(?:(["'`])([^"'`\\{}\n]*)\1|(true|false|\d+))\s*\}""")


def is_code(text: str) -> bool:
    """Whether a text begins with template code."""
    return text.startswith(("{", "<?", "<%"))


def _script_end(text: str, at: int) -> int:
    """The end of a script; one with `<!-- <script>` continues after the first `</script>`."""
    escaped = doubly = False
    for sign in re.compile(r"<!--|-->|</?script(?=[ \t\n\f\r/>])", re.I).finditer(text, at):
        if sign[0] == "<!--":
            escaped = True
        elif sign[0] == "-->":
            escaped = doubly = False
        elif not sign[0].startswith("</"):
            doubly = escaped
        elif not doubly:
            return sign.start()
        else:
            doubly = False
    return len(text)
