"""Finds and fills in missing alt texts.

`check` lists images without alt text. `fill` captions each image once, however often it is used,
and yields a `Change` for each page, with all bytes but the new alt texts unchanged; `apply` writes
it.

>>> for event in fill(["site/"], cutline.load().caption_each):
...     if isinstance(event, Change):
...         apply(event)
"""

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from cutline.alttext.audit import Page, Picture, State
from cutline.alttext.diff import Edit, as_diff
from cutline.alttext.language import differs, is_same
from cutline.alttext.pages import Skipped, find_pages
from cutline.alttext.placeholders import is_placeholder
from cutline.alttext.urls import Inline, Local, Member, Place, Remote
from cutline.errors import CutlineError, DataError, FetchError, ImageError
from cutline.images.prefetch import in_order
from cutline.io.atomic import atomic_write, explain_hard_links, require_writable
from cutline.io.zips import DAMAGED, read_member, replace_members
from cutline.types import Caption, ExistingText

CaptionEach = Callable[[Iterable[Path | bytes]], Iterator[Caption | ImageError]]
"""A caption or error for every picture, in order: `Captioner.caption_each`."""
Fetch = Callable[[str], bytes]
"""Download the image at a URL or raise `FetchError`: `fetch.fetch_picture`."""
Existing = Callable[[Path], ExistingText | None]
"""The text that a picture has already: `cutline.metadata.find_text`."""
Answers = dict[tuple[str, Place | None], Caption | ExistingText | CutlineError]
"""By the language of the captions and the picture."""
FETCHED_AT_ONCE = 4


class Speaker(NamedTuple):
    """A captioner, and the confidence below which its captions are not used."""

    caption_each: CaptionEach
    min_confidence: float


@dataclass(frozen=True)
class Captioned:
    """Progress: images captioned so far."""

    done: int
    total: int


@dataclass(frozen=True)
class Change:
    """The new content of a page."""

    page: Page
    content: bytes = field(repr=False)
    """The new content of the file; unchanged if there is nothing to fill in."""
    pictures: tuple[Picture, ...]
    """All images of the page; filled ones have their `alt`."""
    edits: tuple[Edit, ...] = field(default=(), repr=False)

    @property
    def is_empty(self) -> bool:
        """Whether the page is unchanged."""
        return self.content == self.page.content

    @property
    def diff(self) -> bytes:
        """A unified diff for `patch -p1` or `git apply`; in UTF-8 for UTF-16 pages."""
        page = self.page
        if page.members:  # `patch` passes over such lines
            filled = (each for each in self.pictures if each.state is State.FILLED)
            return b"".join(os.fsencode(_as_line(each)) for each in filled)
        return as_diff(page.path.as_posix().lstrip("/"), page.content, self.edits, page.encoding)


def _as_line(picture: Picture) -> str:
    """`book.epub/text/one.xhtml:12: img/dog.png: A dog.`"""
    line = f"{picture.page}:{picture.line}: {picture.source}: {picture.alt}"
    return "".join(sign if sign.isprintable() else " " for sign in line) + "\n"


# ------------------------------------------------------------------------------------------ check


def check(
    paths: Sequence[str | Path], *, roots: Sequence[Path] = ()
) -> Iterator[Picture | Skipped | DataError]:
    """Yield every image that lacks an alt text, and a `DataError` for every unreadable page.

    A file or folder that was not read is `Skipped`.

    `paths` are pages and folders of pages; URLs such as `/img/a.jpg` are resolved in `roots`.
    """
    for page in find_pages(paths, roots):
        if not isinstance(page, Page):
            yield page
        else:
            yield from (picture for picture in page.pictures if picture.is_missing)


# ------------------------------------------------------------------------------------------- fill


def fill(
    paths: Sequence[str | Path],
    caption_each: CaptionEach,
    *,
    roots: Sequence[Path] = (),
    fetch: Fetch | None = None,
    min_confidence: float = 0.0,
    placeholders: bool = False,
    language: str = "en",
    others: Mapping[str, Speaker] | None = None,
    hedge: str = "",
    existing: Existing = lambda path: None,
) -> Iterator[Captioned | Change | Skipped | DataError]:
    """Caption images without alt text: a `Change` per page, a `DataError` for an unreadable one.

    Images on other hosts are skipped unless `fetch` is given, captions below `min_confidence` are
    not used, and nothing is written: `apply` does that. With `placeholders`, texts such as
    `IMG_1234` are replaced. `language` is that of the captions; where the page has another one,
    `lang` is added in HTML. Pages in the language of one of the `others` get captions of that
    captioner. `hedge` is put before each text: `Maybe: A dog.` A text that a picture has already,
    as `existing` finds it, is taken as it is, instead of a caption.
    """
    pages = list[Page]()
    for page in find_pages(paths, roots):
        if not isinstance(page, Page):
            yield page
        else:
            pages.append(page)
    states = {State.MISSING, State.REMOTE} | ({State.PLACEHOLDER} if placeholders else set())
    kinds = (Local, Member, Inline, *([Remote] if fetch else []))
    shown = (picture for page in pages for picture in page.pictures if picture.state in states)
    asked = dict.fromkeys(
        (_spoken(p, language, others), p.place) for p in shown if isinstance(p.place, kinds)
    )
    speakers = {language: Speaker(caption_each, min_confidence), **(others or {})}
    answers = _find_existing(asked, existing)
    for tag, speaker in speakers.items():
        lacking = (key for key in asked if key not in answers)
        places: list[Place] = [place for spoken, place in lacking if spoken == tag]
        for place, answer in _caption(places, speaker.caption_each, fetch) if places else ():
            answers[tag, place] = answer
            yield Captioned(len(answers), len(asked))
    spoken_in = partial(_spoken, language=language, others=others)

    def judge(picture: Picture) -> Picture:
        tag = spoken_in(picture)
        found = answers.get((tag, picture.place)) if picture.state in states else None
        if found is None:
            return picture
        return _judge(picture, found, speakers[tag].min_confidence, tag, hedge)

    for page in pages:
        try:
            yield _fill_page(page, judge, spoken_in)
        except DataError as error:
            yield error


def _find_existing(asked: Iterable[tuple[str, Place | None]], existing: Existing) -> Answers:
    """The texts that pictures have already, unless they say nothing."""
    return {
        (tag, place): text
        for tag, place in asked
        if isinstance(place, Local) and (text := existing(place.path))
        if not is_placeholder(text.text, place.path.name)
    }


def _spoken(picture: Picture, language: str, others: Mapping[str, Speaker] | None) -> str:
    """The language of a picture's caption: that of its page, if there is a captioner for it."""
    return next((tag for tag in others or () if is_same(tag, picture.language)), language)


def _caption(
    places: list[Place], caption_each: CaptionEach, fetch: Fetch | None
) -> Iterator[tuple[Place, Caption | CutlineError]]:
    """Each image with its caption or error; failed downloads come last."""
    asked, failed = list[Place](), list[tuple[Place, CutlineError]]()

    def had() -> Iterator[Path | bytes]:
        opened = in_order(partial(_open, fetch=fetch), places, workers=FETCHED_AT_ONCE)
        for place, source in zip(places, opened, strict=True):
            if isinstance(source, CutlineError):
                failed.append((place, source))
            else:
                asked.append(place)  # the captioner reads ahead, so answers lag behind
                yield source

    for number, answer in enumerate(caption_each(had())):
        yield asked[number], answer
    yield from failed


def _open(place: Place, *, fetch: Fetch | None) -> Path | bytes | CutlineError:
    try:
        match place:
            case Local(path):
                return path
            case Member(archive, name):
                return read_member(archive, name)
            case Inline(content):
                return content
            case Remote(address) if fetch:
                return fetch(address)
    except (FetchError, DataError) as error:
        return error
    raise AssertionError(f"{place} cannot be opened")


def _fill_page(
    page: Page, judge: Callable[[Picture], Picture], spoken: Callable[[Picture], str]
) -> Change:
    if page.members:
        return _fill_archive(page, [_fill_page(part, judge, spoken) for part in page.members])
    pictures = tuple(map(judge, page.pictures))
    edits = tuple(
        Edit(picture.byte, picture.end, insertion(picture, page.encoding, spoken(picture)))
        for picture in pictures  # in the order of the file
        if picture.state is State.FILLED
    )
    parts, at = list[bytes](), 0
    for edit in edits:
        parts += [page.content[at : edit.start], edit.text]
        at = edit.end
    return Change(page, b"".join([*parts, page.content[at:]]), pictures, edits)


def _fill_archive(page: Page, parts: list[Change]) -> Change:
    """The changes of the members as one of the archive, which is read again."""
    pictures = tuple(picture for part in parts for picture in part.pictures)
    new = {part.page.path.relative_to(page.path).as_posix(): part for part in parts}
    new = {name: part for name, part in new.items() if not part.is_empty}
    if not new:
        return Change(page, page.content, pictures)
    try:
        content = page.path.read_bytes()
        for name, part in new.items():
            if read_member(page.path, name) != part.page.content:
                raise DataError(f"{page.path} has changed since it was read: run it again")
        changed = replace_members(content, {name: part.content for name, part in new.items()})
    except OSError as error:
        raise DataError(f"{page.path} cannot be read: {error.strerror}") from None
    except DAMAGED:
        raise DataError(f"{page.path} is damaged") from None
    return Change(replace(page, content=content), changed, pictures)


def _judge(
    picture: Picture,
    answer: Caption | ExistingText | CutlineError,
    least: float,
    language: str,
    hedge: str,
) -> Picture:
    if isinstance(answer, CutlineError):
        return replace(picture, state=State.UNREADABLE, why=str(answer))
    if isinstance(answer, ExistingText):
        why = f"the {answer.field} of {answer.file.name}"
        text = " ".join(answer.text.split())  # in whatever language
        filled = replace(picture, state=State.FILLED, alt=text, why=why)
        return replace(filled, has_own_language=True)
    if answer.left_out:
        return replace(picture, state=State.UNSURE, why=answer.left_out)
    alt = as_sentence(answer.text)
    found = replace(picture, alt=f"{hedge}{alt}" if alt else "", confidence=answer.confidence)
    if not alt:
        return replace(found, state=State.UNSURE, why="the caption is empty")
    if answer.confidence is not None and answer.confidence < least:
        why = f"a confidence of {answer.confidence:.2f}: {alt}"
        return replace(found, state=State.UNSURE, why=why)
    why = ""
    if differs(language, picture.language):
        marked = f'lang="{language}" was added' if _takes_lang(picture, language) else "not marked"
        why = f"the text is in {language}, the page in {picture.language}: {marked}"
    return replace(found, state=State.FILLED, why=why)


def _takes_lang(picture: Picture, language: str) -> bool:
    """Whether the tag gets a `lang`: in HTML, where the page has another language."""
    in_html = bool(picture.quote) and not picture.has_own_language
    return in_html and differs(language, picture.language)


def as_sentence(caption: str) -> str:
    """The caption as an alt text: `a photo of a dog` becomes `A dog.`

    Screen readers announce that it is an image, and pause at a full stop.
    """
    plain = "".join(sign if sign.isprintable() else " " for sign in caption)
    plain = _PICTURE_OF.sub("", " ".join(plain.split()))
    if not plain:
        return ""
    return plain[0].upper() + plain[1:] + ("" if plain[-1] in ".!?…。！？" else ".")


_PICTURE_OF = re.compile(
    r"(?:an? |the )?(?:black and white )?(?:picture|image|photo|photograph|close[ -]?up) of ", re.I
)
_HTML_SIGNS = {ord(sign): f"&#{ord(sign)};" for sign in "\"'<>{}`&"}
_MARKDOWN_SIGNS = {ord(sign): f"\\{sign}" for sign in "\\`*_[]<>&{}|~$"}


def insertion(picture: Picture, encoding: str, language: str = "en") -> bytes:
    """What is put into the file; signs that the encoding may lack become references."""
    text = f"{picture.opening}{_escape(picture)}{picture.closing}"
    if _takes_lang(picture, language):
        quote = picture.quote
        # the quotation mark that follows a placeholder closes the last attribute
        text += (
            f" {picture.lang_name}={quote}{language}{quote}"
            if picture.closing
            else f"{quote} {picture.lang_name}={quote}{language}"
        )
    text = json.dumps(text, ensure_ascii=False)[1:-1] if picture.in_json else text
    return text.encode(encoding, "xmlcharrefreplace")


def _escape(picture: Picture) -> str:
    match picture.syntax:
        case "plain":
            return picture.alt
        case "strict":  # without the signs that its syntax has a meaning for
            return _drop_signs(picture.alt)
        case "list":
            text = _drop_signs(picture.alt)
            return f'"{text}"' if "," in text or "=" in text or text[:1] == "'" else text
    return picture.alt.translate(_HTML_SIGNS if picture.quote else _MARKDOWN_SIGNS)


def _drop_signs(text: str) -> str:
    return " ".join(re.sub(r"[^\w\s.,;:'!?()/&%=–—-]", "", text.replace('"', "'")).split())


# ------------------------------------------------------------------------------------------ apply


def apply(change: Change) -> None:
    """Write a page: beside, then renamed, with the mode of the file.

    Raises `DataError` for one that may not be written, or is no longer what was read.
    """
    named = change.page.path
    if change.is_empty:
        return
    path = named.resolve()  # what a link points to is written, the link stays
    try:
        status = require_writable(path)
        if status and status.st_nlink > 1:
            raise DataError(f"{named} stays as it is: {explain_hard_links(status)}")
        with atomic_write(path) as file:
            if path.read_bytes() != change.page.content:
                raise DataError(f"{named} has changed since it was read: run the command again")
            file.write(change.content)
    except OSError as error:
        raise DataError(f"{named} cannot be written: {error.strerror}") from None
