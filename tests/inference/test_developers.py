"""What programs that import cutline rely on: errors with kinds, JSON, notebooks, pickles."""

import json
import logging
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import ROOT
from cutline.errors import ImageError, ModelError
from cutline.images.load import View, open_image
from cutline.inference.captioner import load
from cutline.text.style import Style
from cutline.types import Caption

CAT = ROOT / "examples" / "cat.jpg"
ANY = Style(any_picture=True)


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("none.jpg", None, "missing"),
        ("empty.jpg", b"", "damaged"),
        ("half.jpg", CAT.read_bytes()[:20_000], "damaged"),
        ("letter.jpg", b"Dear cutline", "unsupported"),
        ("huge.ppm", b"P6 60000 60000 255\n" + bytes(100), "too_large"),
    ],
)
def test_an_image_error_has_a_kind_and_is_a_value_error(tmp_path, name, content, kind):
    if content is not None:
        (tmp_path / name).write_bytes(content)

    with pytest.raises(ValueError, match=name) as caught:
        open_image(tmp_path / name, View())

    assert isinstance(caught.value, ImageError)
    assert caught.value.kind == kind
    assert pickle.loads(pickle.dumps(caught.value)).kind == kind


def test_many_pictures_may_be_any_sequence_or_a_generator(tiny):
    captioner, paths = load(tiny), [CAT, CAT]
    one = captioner.caption(CAT, style=ANY)

    def each() -> Iterator[Path]:
        yield from paths

    for pictures in (paths, tuple(paths), each(), iter(paths)):
        assert captioner.caption(pictures, style=ANY) == [one, one]
    assert captioner.caption(memoryview(CAT.read_bytes()), style=ANY) == one
    with CAT.open("rb") as file:
        assert captioner.caption(file, style=ANY) == one


def test_a_captioner_is_pickled_and_closed(tiny):
    with load(tiny, threads=1) as captioner:
        before = captioner.caption(CAT, style=ANY)
        again = pickle.loads(pickle.dumps(captioner))
        assert repr(captioner).startswith("Captioner(")

    assert (again.caption(CAT, style=ANY), again.engine.threads) == (before, 1)
    captioner.close()
    with pytest.raises(ModelError, match="is closed: load the model again"):
        captioner.caption(CAT)


def test_a_caption_is_json_and_a_line_in_a_notebook():
    caption = Caption("a <dog>", ("a", "<dog>"), -1.0, (-0.5, -0.5), chance=0.5)

    assert json.dumps(caption.as_dict()) == json.dumps(caption.as_json())
    assert repr(caption) == "Caption('a <dog>', confidence=0.50)"
    html = caption._repr_html_()
    assert "<b>a &lt;dog&gt;</b> (50%)" in html and ">&lt;dog&gt;</span>" in html
    nothing = Caption("", (), -1.0, (), left_out="not a photograph")
    assert nothing._repr_html_() == "<p><em>no caption: not a photograph</em></p>"


def test_the_log_is_named_cutline(caplog, tmp_path):
    (tmp_path / "cut.jpg").write_bytes(CAT.read_bytes()[:-2])

    with caplog.at_level(logging.WARNING, "cutline"):
        open_image(tmp_path / "cut.jpg", View())

    assert [record.name for record in caplog.records] == ["cutline"]
