"""Alt texts are put where they are missing, and nowhere else; nothing else of a file changes."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from conftest import ROOT
from cutline.alttext.audit import State
from cutline.alttext.edit import Captioned, Change, apply, as_sentence, check, fill
from cutline.alttext.pages import read_page
from cutline.alttext.urls import Inline, Local, NotFound, Outside, Remote, Templated, locate
from cutline.errors import CutlineError, DataError, FetchError
from sites import Double, draw_site


@pytest.fixture
def site(tmp_path) -> Path:
    """A folder with pictures."""
    return draw_site(tmp_path)


def state_of(site: Path, html: str, name: str = "page.html") -> State:
    (site / name).write_text(html, encoding="utf8")
    [picture] = read_page(site / name, [site]).pictures
    return picture.state


def filled(site: Path, content: str | bytes, name: str = "page.html", text: str = "a {}") -> bytes:
    data = content if isinstance(content, bytes) else content.encode()
    (site / name).write_bytes(data)
    *_, change = fill([site / name], Double(text).caption_each)
    assert isinstance(change, Change)
    return change.content


# ------------------------------------------------------------------------- which want an alt text


@pytest.mark.parametrize(
    ("html", "state"),
    [
        ('<img src="dog.png">', "missing"),
        ('<img src="dog.png" alt="A dog">', "present"),
        ('<img src="dog.png" alt="">', "decorative"),
        ('<img src="dog.png" alt>', "decorative"),
        ('<img src="dog.png" ALT=" ">', "decorative"),
        ('<img src="dog.png" :alt="text">', "present"),
        ('<img src="dog.png" [attr.alt]="text">', "present"),
        ('<img src="dog.png" th:alt="#{text}">', "present"),
        ('<img src="dog.png" alt="{{ text }}">', "present"),
        ('<img src="dog.png" data-alt="text">', "missing"),
        ('<img src="dog.png" title="A dog">', "present"),
        ('<img src="dog.png" aria-label="A dog">', "present"),
        ('<img src="dog.png" aria-labelledby="d1">', "present"),
        ('<img src="dog.png" title="">', "missing"),
        ('<img src="dog.png" role="presentation">', "decorative"),
        ('<img src="dog.png" role=none>', "decorative"),
        ('<img src="dog.png" aria-hidden="true">', "decorative"),
        ('<img src="dog.png" aria-hidden="false">', "missing"),
        ('<img src="dog.png" hidden>', "decorative"),
        ('<img src="dog.png" style="color: red; display:none">', "decorative"),
        ('<img src="dog.png" style="width:100px;height:20px">', "missing"),
        ('<img src="dog.png" style="width:1px;height:1px">', "decorative"),
        ('<img src="dog.png" width=1 height="1px">', "decorative"),
        ('<img src="dog.png" width="20" height="100%">', "missing"),
        ('<img src="tiny.png">', "decorative"),
        ('<img src="img/spacer.gif">', "decorative"),
        ('<img src="https://x.org/1x1.gif?id=3">', "decorative"),
        ('<img src="pixel-art.png">', "file_not_found"),
        ('<a href="x"><img src="dog.png"> Home</a>', "decorative"),
        ('<a href="x"><b>Home</b><br><img src="dog.png"></a>', "decorative"),
        ('<a href="x"><img src="dog.png">{{ title }}</a>', "decorative"),
        ('<a href="x" aria-label="Home"><img src="dog.png"></a>', "decorative"),
        ('<button><img src="dog.png">Save</button>', "decorative"),
        ('<a href="x">&nbsp;<img src="dog.png">\n</a>', "functional"),
        ('<a href="x"><b><img src="dog.png"></b></a>', "functional"),
        ('<a href="x"><img src="dog.png" alt=""></a>', "functional"),
        ('<a href="x"><img src="dog.png" alt="logo.png"></a>', "functional"),
        ('<a :href="x"><img src="dog.png"></a>', "functional"),
        ('<button><img src="https://x.org/dog.png"></button>', "functional"),
        ('<a href="x" title="Home"><img src="dog.png"></a>', "decorative"),
        ('<a href="x"><img src="dog.png"><svg><title>Home</title></svg></a>', "decorative"),
        ('<a href="x"><img src="dog.png"><i aria-label="Home"></i></a>', "decorative"),
        ('<a href="x"><img src="dog.png" alt=""> Home</a>', "decorative"),
        ('<a href="x" aria-hidden="true"><img src="dog.png" alt=""></a>', "decorative"),
        ('<a href="x"><my-icon></my-icon><img src="dog.png" alt=""></a>', "decorative"),
        ('<a name="x"><img src="dog.png"></a>', "missing"),
        ('<img src="dog.png" alt="...">', "placeholder"),
        ('<img src="dog.png" alt="Image">', "placeholder"),
        ('<img src="nowhere.png" alt="image 3">', "placeholder"),
        ('<img src="dog.png" alt="IMG_1234">', "placeholder"),
        ('<img src="dog.png" alt=dog.png>', "placeholder"),
        ('<img src="dog.png" alt="image" aria-label="A dog">', "present"),
        ('<img src="dog.png" alt="image" aria-hidden="true">', "decorative"),
        ('<img :src="url" alt="A dog">', "present"),
        ('<img src="<c:url value=\'/dog.png\'/>">', "templated"),
        ('<a name="x">Title<p><img src="dog.png">', "missing"),
        ('<a href="x">Title</a><img src="dog.png">', "missing"),
        ('<figure><img src="dog.png"><figcaption>D</figcaption></figure>', "missing"),
        ("<img>", "templated"),
        ('<img src="{{ url }}">', "templated"),
        ('<img src="{% static \'dog.png\' %}">', "templated"),
        ('<img :src="url">', "templated"),
        ('<img src="dog.png" th:src="@{/x.png}">', "templated"),
        ('<img src="@/dog.png"><!-- -->', "templated"),
        ('<img src="%PUBLIC_URL%/dog.png">', "templated"),
        ('<img src="dog.png" {{ attributes }}>', "unknown"),
        ('<img src="dog.png" v-bind="all">', "unknown"),
        ("<img src='dog.png' <?php the_attributes(); ?>>", "unknown"),
        ("<img src='dog.png' {% if a %}alt='x'{% endif %}>", "present"),
        ("<img src='dog.png' {% if a %}class='x'{% endif %}>", "missing"),
        ("<img {% if a %}src='dog.png'{% else %}src='cat.png'{% endif %}>", "templated"),
        ('<img src="https://x.org/dog.png">', "remote"),
        ('<img src="//x.org/dog.png">', "remote"),
        ('<img src="nowhere.png">', "file_not_found"),
        ('<img src="img">', "file_not_found"),
        ('<img src="spinner.gif" data-src="dog.png">', "missing"),
        ('<img srcset="nowhere.png 1x, dog.png 2x">', "file_not_found"),
        ('<img srcset="dog.png 1x, nowhere.png 2x">', "missing"),
    ],
)  # fmt: skip
def test_what_a_picture_lacks_is_told_from_its_tag(site, html, state):
    assert state_of(site, html) == state


@pytest.mark.parametrize(
    ("markdown", "state"),
    [
        ("![](dog.png)", "missing"),
        ("![A dog](dog.png)", "present"),
        ("![ ](dog.png)", "decorative"),
        ('![](dog.png){: alt="A dog"}', "present"),
        ('![](dog.png){: .wide title="a"}', "missing"),
        ("![](spacer.gif)", "decorative"),
        ("![](tiny.png)", "decorative"),
        ("![](https://x.org/a.png)", "remote"),
        ("![]({{ site.url }}/dog.png)", "templated"),
        ("x <img src=dog.png>", "missing"),
        ("x <a href=y>![](dog.png)</a>", "functional"),
        ("x <a href=y>![](dog.png) Home</a>", "decorative"),
        ("[![](dog.png)](y)", "functional"),
        ("*[**![](dog.png)**][y]*\n\n[y]: https://x.org", "functional"),
        ("[![](dog.png) Home](y)", "decorative"),
        ("[![A dog](dog.png)](y)", "present"),
        ("[![image](dog.png)](y)", "functional"),
        ("[![](dog.png)] (y)", "missing"),
        ("[x](y) ![](dog.png) [z](y)", "missing"),
        ("![image](dog.png)", "placeholder"),
        ("![dog.png](dog.png)", "placeholder"),
        ("![enter image description here](dog.png)", "placeholder"),
    ],
)
def test_what_a_picture_lacks_is_told_from_its_markdown(site, markdown, state):
    assert state_of(site, markdown, "page.md") == state


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("dog.png", "dog.png"),
        (" ./img/../dog.png\n", "dog.png"),
        ("dog.png?v=3#top", "dog.png"),
        ("a%20b.png", "a b.png"),
        ("a b.png", "a b.png"),
        ("%231.png", "#1.png"),
        ("/dog.png", "dog.png"),
        ("/cow.png", "static/cow.png"),
        ("img\\hen.png", "img/hen.png"),
    ],
)
def test_an_address_leads_to_its_file(site, source, found):
    place = locate(source, site / "page.html", [site])

    assert isinstance(place, Local)
    assert place.path.resolve() == (site / found).resolve()


def test_an_address_may_lead_elsewhere(site):
    page = site / "img" / "page.html"

    def at(source: str, base: str = "") -> object:
        return locate(source, page, [site], base=base)

    assert at((site / "dog.png").as_uri()) == Local(site / "dog.png")
    assert at("dog.png", "/") == Local(site / "dog.png")
    assert at("hen.png", "https://x.org/a/") == Remote("https://x.org/a/hen.png")
    assert at("//x.org/a.png") == Remote("https://x.org/a.png")
    assert at("data:image/png;base64,aGVu") == Inline(b"hen")
    assert at("data:image/svg+xml,%3Csvg%3E") == Inline(b"<svg>")
    assert at("data:image/png;base64,%%%") == Inline(b"")
    assert at("blob:x") == at("cid:part1") == at("${x}.png") == at("") == Templated()
    assert isinstance(at("/dev/zero"), NotFound)
    assert isinstance(at("file:///dev/zero"), Outside)
    assert isinstance(at("x" * 5000), NotFound)
    assert isinstance(at("a\0b.png"), NotFound)
    assert isinstance(at("//[::1"), Remote)
    assert isinstance(at("[x].png"), NotFound)


@pytest.mark.parametrize(
    "source",
    ["../secret.png", "img/../../secret.png", "..%2fsecret.png", "..\\secret.png", "link.png",
     "/../secret.png", "../site/link.png", "file:{}/secret.png"],
)  # fmt: skip
def test_nothing_is_taken_from_outside_of_a_site_that_is_not_named(tmp_path, monkeypatch, source):
    site = tmp_path / "site"
    (site / "img").mkdir(parents=True)
    Image.new("RGB", (8, 6)).save(tmp_path / "secret.png")
    (site / "link.png").symlink_to("../secret.png")
    monkeypatch.chdir(site)
    (site / "a.html").write_text(f'<img src="{source.format(tmp_path)}">')

    *_, change = fill([site], Double().caption_each)
    *_, allowed = fill([site], Double().caption_each, roots=[tmp_path])

    assert change.is_empty
    assert "is outside the site; add its folder with --root" in change.pictures[0].why
    assert not allowed.is_empty


def test_a_link_to_a_page_elsewhere_is_not_followed_unless_it_is_named(site):
    (site / "sub").mkdir()
    (site / "page.html").write_text("<img src=dog.png>")
    (site / "sub/link.html").symlink_to("../page.html")
    (site / "sub/own.html").write_text("<img src=../dog.png>")

    assert [each.page.name for each in check([site / "sub"])] == ["own.html"]
    assert [each.page.name for each in check([site / "sub/link.html"])] == ["link.html"]


def test_a_large_file_is_no_spacer_whatever_its_name(site):
    Image.effect_noise((90, 90), 50).save(site / "space.png")
    Image.new("RGBA", (9, 9)).save(site / "dot.png")

    assert state_of(site, "<img src=space.png>") == State.MISSING
    assert state_of(site, "<img src=dot.png>") == State.DECORATIVE


def test_a_pages_base_counts_for_all_its_pictures(site):
    assert state_of(site, '<base href="img/"><img src="hen.png">') == State.MISSING
    assert state_of(site, '<base href="https://x.org/"><img src="dog.png">') == State.REMOTE
    assert state_of(site, '<base href="{{ root }}"><img src="dog.png">') == State.TEMPLATED


# ----------------------------------------------------------------------------- what is written


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('<img src="dog.png" id=d>', '<img src="dog.png" alt="A dog." id=d>'),
        ("<IMG SRC='dog.png'/>", "<IMG SRC='dog.png' alt='A dog.'/>"),
        ("<img src=dog.png>", '<img src=dog.png alt="A dog.">'),
        ("<img class='x' src=dog.png>", "<img class='x' src=dog.png alt='A dog.'>"),
        ('<img src="dog.png"id=d>', '<img src="dog.png" alt="A dog."id=d>'),
        ("<img\r\n  src='dog.png'\r\n>", "<img\r\n  src='dog.png' alt='A dog.'\r\n>"),
        (
            "<img {% if a %}src='dog.png'{% endif %}>",
            "<img alt='A dog.' {% if a %}src='dog.png'{% endif %}>",
        ),
        ("<?php echo 1 ?><p>\x00<img src=dog.png", "<?php echo 1 ?><p>\x00<img src=dog.png"),
    ],
)
def test_an_alt_text_stands_behind_its_source(site, before, after):
    assert filled(site, before).decode() == after


@pytest.mark.parametrize(
    ("text", "html", "markdown"),
    [
        ("a dog's toy", "A dog&#39;s toy.", "A dog's toy."),
        ('a "<b>" & {{c}}', "A &#34;&#60;b&#62;&#34; &#38; &#123;&#123;c&#125;&#125;.",
         'A "\\<b\\>" \\& \\{\\{c\\}\\}.'),
        ("a [x] `y` *z*", "A [x] &#96;y&#96; *z*.", "A \\[x\\] \\`y\\` \\*z\\*."),
        ("a\ndog\x1b\\", "A dog \\.", "A dog \\\\."),
    ],
)  # fmt: skip
def test_signs_that_would_mean_something_are_escaped(site, text, html, markdown):
    assert filled(site, "<img src=dog.png>", text=text).decode() == (
        f'<img src=dog.png alt="{html}">'
    )
    assert filled(site, "![](dog.png)", "p.md", text).decode() == f"![{markdown}](dog.png)"


@pytest.mark.parametrize(
    ("page", "encoding", "alt"),
    [
        ("<p>ü<img src=dog.png>", "utf-8", "Ein Hündchen."),
        ("<p><img src=dog.png>", "utf-8", "Ein H&#252;ndchen."),  # may be read as anything
        ("<meta charset=utf-8><img src=dog.png>", "utf-8", "Ein Hündchen."),
        ("<p>ü<img src=dog.png>", "latin-1", "Ein H&#252;ndchen."),
        ("<meta charset=shift_jis>表<img src=dog.png>", "shift-jis", "Ein H&#252;ndchen."),
        ("<p>😀<img src=dog.png>", "utf-16", "Ein Hündchen."),
    ],
)
def test_signs_that_an_encoding_may_lack_are_written_as_references(site, page, encoding, alt):
    after = filled(site, page.encode(encoding), text="ein Hündchen").decode(encoding)

    assert after == page.replace("dog.png>", f'dog.png alt="{alt}">')


def test_file_names_are_read_in_the_pages_encoding(site):
    (site / "dog.png").rename(site / "hündchen.png")

    for encoding, charset in (("utf-8", ""), ("latin-1", "<meta charset=latin1>"), ("utf-16", "")):
        page = f"{charset}ß<img src=hündchen.png>".encode(encoding)
        assert b"alt" in filled(site, page).replace(b"\0", b"")


@pytest.mark.parametrize("charset", ["utf-32", "utf-16", "hex", "idna", "undefined", "none-such"])
def test_a_charset_that_a_page_cannot_have_harms_nobody(site, charset):
    page = f"<meta charset={charset}>\xe9<img src=\xe9.png><img src=dog.png>".encode("latin-1")

    assert filled(site, page) == page.replace(b"dog.png", b'dog.png alt="A dog."')


@pytest.mark.parametrize(
    ("name", "page"),
    [
        (
            "a.mdx",
            'export const a = "<img src=dog.png>"\n\n{/* <img src=dog.png> ![](dog.png) */}\n',
        ),
        ("a.svelte", "{@html '<img src=dog.png>'}"),
    ],
)
def test_code_of_components_stays_as_it_is(site, name, page):
    assert filled(site, page, name).decode() == page
    assert b"alt" in filled(site, f"{page}\n\n<img src='dog.png'>", name)


@pytest.mark.parametrize(
    ("caption", "alt"),
    [
        ("a dog runs", "A dog runs."),
        ("a photo of a dog", "A dog."),
        ("an image of  the sea !", "The sea !"),
        ("", ""),
    ],
)
def test_a_caption_becomes_a_sentence_as_screen_readers_want_it(caption, alt):
    assert as_sentence(caption) == alt


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("<p>hello".encode("utf-16-le"), "UTF-16 without a byte order mark: save it as UTF-8"),
        ("<p>hello".encode("utf-32"), "is in UTF-32: save it as UTF-8"),
        ("<p>写真<img src=dog.png>".encode("iso2022-jp"), "is in ISO-2022-JP: save it as UTF-8"),
    ],
)
def test_a_page_that_could_be_harmed_is_refused_whole(site, content, sentence):
    (site / "page.html").write_bytes(content)

    with pytest.raises(DataError, match=sentence):
        read_page(site / "page.html")


# --------------------------------------------------------------------------------- fill and apply


def test_each_picture_is_captioned_once_however_often_it_is_shown(site):
    inline = "data:image/png;base64," + base64.b64encode(bytes(5000)).decode()
    (site / "a.html").write_text(f'<img src=dog.png><img src="{inline}"><img src="./dog.png">')
    (site / "b.md").write_text(f"![](dog.png) ![](cat.png)\n\n<img src='{inline}'>")
    double = Double()

    events = list(fill([site], double.caption_each))

    assert double.seen == [site / "dog.png", bytes(5000), site / "cat.png"]
    assert [e for e in events if isinstance(e, Captioned)][-1] == Captioned(3, 3)
    contents = b"".join(event.content for event in events if isinstance(event, Change))
    assert contents.count(b"A dog.") == 3
    assert contents.count(b"A 5000 bytes.") == 2


def test_what_goes_wrong_is_told_and_the_rest_goes_on(site):
    (site / "cat.png").write_bytes(b"")
    (site / "a.html").write_text(
        "<img src=cat.png><img src=http://x/1.png><img src=http://x/2.png><img src=dog.png>"
    )

    def fetch(address: str) -> bytes:
        if address.endswith("1.png"):
            raise FetchError(f"{address} cannot be downloaded")
        return b"12345"

    *_, change = fill([site / "a.html"], Double().caption_each, fetch=fetch)

    assert [(p.state, p.alt or p.why) for p in change.pictures] == [
        ("unreadable", f"{site / 'cat.png'} is empty (0 bytes)"),
        ("unreadable", "http://x/1.png cannot be downloaded"),
        ("filled", "A 5 bytes."),
        ("filled", "A dog."),
    ]


def test_a_caption_that_is_not_sure_enough_is_not_written(site):
    (site / "a.md").write_text("![](dog.png)")

    *_, change = fill([site], Double(log_prob=-1.0).caption_each, min_confidence=0.5)

    assert change.is_empty
    assert [(p.state, p.why) for p in change.pictures] == [
        ("unsure", "a confidence of 0.37: A dog.")
    ]


def test_applied_the_file_keeps_its_mode_and_its_links(site):
    page, link = site / "page.html", site / "link.html"
    page.write_bytes(b"<img src=dog.png>\r\n\xff")
    page.chmod(0o640)
    link.symlink_to("page.html")

    *_, change = fill([link], Double().caption_each)
    apply(change)

    assert page.read_bytes() == b'<img src=dog.png alt="A dog.">\r\n\xff'
    assert page.stat().st_mode & 0o777 == 0o640
    assert link.is_symlink()
    assert not list(site.glob(".*"))


def test_a_file_that_changed_or_may_not_be_written_is_left_alone(site):
    page = site / "page.html"
    page.write_text("<img src=dog.png>")
    *_, change = fill([page], Double().caption_each)

    page.chmod(0o444)
    with pytest.raises(DataError, match="page.html cannot be written: it is read-only"):
        apply(change)
    page.chmod(0o644)
    page.write_text("<img src=cat.png>")
    with pytest.raises(DataError, match="page.html has changed since it was read"):
        apply(change)
    page.unlink()
    with pytest.raises(DataError, match="page.html cannot be written: No such file"):
        apply(change)

    assert not list(site.glob(".*"))


def test_a_diff_is_one_that_git_applies(site, monkeypatch):
    monkeypatch.chdir(site)
    lines = [f"<p>{number}\r\n".encode() for number in range(40)]
    for number in (0, 3, 20, 39):
        lines[number] = b"<img src=dog.png>\xff\r\n"
    lines[39] = lines[39].removesuffix(b"\r\n")
    Path("sub").mkdir()
    Path("sub/a.html").write_bytes(b"".join(lines).replace(b"dog.png", b"../dog.png"))
    *_, change = fill(["sub"], Double().caption_each)
    Path("a.patch").write_bytes(change.diff)

    subprocess.run(["git", "init", "-q", "."], check=True)
    subprocess.run(["git", "apply", "--whitespace=nowarn", "a.patch"], check=True)

    assert Path("sub/a.html").read_bytes() == change.content
    assert change.diff.count(b"@@ -") == 3


@pytest.mark.parametrize("name", ["a b.html", 'q".html', "tab\t.html", "ü.html", "b\\.html"])
@pytest.mark.parametrize("program", [("git", "apply"), ("patch", "-s", "-p1", "-i")])
def test_a_diff_names_its_file_whatever_it_is_called(site, monkeypatch, name, program):
    if shutil.which(program[0]) is None:
        pytest.skip(f"{program[0]} is not installed")
    monkeypatch.chdir(site)
    Path(name).write_text("<img src=dog.png>\n")
    *_, change = fill([name], Double().caption_each)
    Path("a.patch").write_bytes(change.diff)

    subprocess.run([*program, "a.patch"], check=True)

    assert Path(name).read_bytes() == change.content


def test_what_is_written_beside_goes_through_no_link(site):
    (site / "page.html").write_text("<img src=dog.png>")
    (site / "other").write_text("dear")
    (site / ".page.html.part").symlink_to("other")

    *_, change = fill([site / "page.html"], Double().caption_each)
    apply(change)

    assert (site / "page.html").read_bytes() == change.content
    assert (site / "other").read_text() == "dear"
    assert not (site / "page.html").is_symlink()


def test_folders_are_searched_but_not_those_of_tools(site):
    for name in ("a.html", "sub/b.markdown", "sub/c.blade.php", "d.md.erb", "e.html.j2", "f.tmpl"):
        (site / name).parent.mkdir(exist_ok=True)
        (site / name).write_text("![](dog.png)<img src='/dog.png'>")
    for name in (
        ".git/x.html", "node_modules/x.html", "sub/.x.html", "x.txt", "x.html.bak", "menu.js.erb"
    ):  # fmt: skip
        (site / name).parent.mkdir(exist_ok=True)
        (site / name).write_text("<img src='/dog.png'>")

    changes = [
        e for e in fill([site, site / "a.html"], Double().caption_each) if isinstance(e, Change)
    ]

    assert [str(change.page.path.relative_to(site)) for change in changes] == [
        "a.html", "d.md.erb", "e.html.j2", "f.tmpl", "sub/b.markdown", "sub/c.blade.php"
    ]  # fmt: skip
    assert all(not change.is_empty for change in changes)
    assert b"![A dog.]" in changes[1].content
    assert b"![]" in changes[2].content


# ------------------------------------------------------------------------------------ the command


@pytest.fixture
def published(site) -> Path:
    (site / "a.html").write_text("<h1>A</h1>\n<img src=dog.png>\n<img src=x.png><img src=//x/y>\n")
    (site / "b.md").write_text("![](img/hen.png)\n\n![A cat](cat.png)\n")
    return site


def test_check_lists_what_is_missing_and_needs_no_model(run, published):
    code, out, err = run("alt", published, "--check")

    assert code == 1
    assert out.splitlines() == [
        f"{published}/a.html:2: dog.png",
        f"{published}/a.html:3: x.png",
        f"{published}/a.html:3: //x/y",
        f"{published}/b.md:1: img/hen.png",
    ]
    assert err == "4 missing alt texts\n"
    assert [p.line for p in check([published]) if not isinstance(p, CutlineError)] == [2, 3, 3, 1]
    assert run("alt", published / "b.md", "--check", "--json")[1].count('"missing"') == 1
    (published / "b.md").write_text("![A cat](cat.png)")
    assert run("alt", published / "b.md", "--check")[0] == 0
    assert "--check cannot be combined with" in run("alt", published, "--check", "--apply")[2]


def test_check_imports_no_onnxruntime(published):
    code = (
        "import sys; from cutline.alttext.edit import check; list(check([sys.argv[1]]));"
        "sys.exit('onnxruntime' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code, published], check=False).returncode == 0


def test_a_dry_run_writes_nothing_and_shows_a_diff(run, tiny, published):
    before = (published / "a.html").read_bytes()

    code, out, err = run("alt", published, "--model", tiny)

    assert code == 1  # x.png is not there
    assert (published / "a.html").read_bytes() == before
    assert "\n-<img src=dog.png>\n+<img src=dog.png alt=" in out
    assert "\x1b" not in out
    assert f"cutline: {published}/a.html:3: x.png: there is no {published}/x.png" in err
    assert (
        "5 pictures on 2 pages: 1 with alt text, 2 to fill (--apply writes them), "
        "1 on other hosts (--fetch captions them), 1 not found"
    ) in err


def test_applied_twice_it_changes_nothing_more(run, tiny, published):
    (published / "a.html").write_text("<img src=dog.png>")

    code, out, err = run("alt", published, "--apply", "--model", tiny)
    after = (published / "a.html").read_text()
    again, _, told = run("alt", published, "--apply", "--model", tiny)

    assert (code, again, out) == (0, 0, "")
    assert after.startswith('<img src=dog.png alt="')
    assert "1 with alt text, 2 filled" in err
    assert "3 pictures on 2 pages: 3 with alt text\n" in told
    assert (published / "a.html").read_text() == after


def test_json_has_a_line_for_every_picture(run, tiny, published):
    _, out, _ = run("alt", published, "--json", "--model", tiny)

    told = [json.loads(line) for line in out.splitlines()]
    assert [each["state"] for each in told] == [
        "filled",
        "file_not_found",
        "remote",
        "filled",
        "present",
    ]
    assert told[0] == {
        "page": f"{published}/a.html", "line": 2, "path": "dog.png", "state": "filled",
        "alt": told[0]["alt"], "confidence": told[0]["confidence"],
    }  # fmt: skip


def test_a_page_that_is_none_is_one_sentence_and_the_rest_goes_on(run, tiny, published):
    code, out, err = run(
        "alt", published / "dog.png", published / "no.md", published / "b.md", "--model", tiny
    )

    assert code == 1
    assert "dog.png is not a page (.html, .htm" in err
    assert f"there is no {published}/no.md" in err
    assert "+![" in out


def test_what_is_told_of_a_page_steers_no_terminal(run, tiny, published):
    name = os.fsdecode(b"\x1b[2J\xff.html")
    (published / name).write_bytes(b"<img src='%1b]0;x%07.png'>")

    for options in (["--check"], ["--model", tiny]):
        code, out, err = run("alt", published / name, *options)

        assert code == 1
        assert "\\x1b[2J\\udcff.html" in out + err
        assert not {"\x1b", "\x07", "\udcff"} & set(out + err)


def test_a_terminal_gets_colour_and_nothing_that_steers_it(published, tiny):
    pytest.importorskip("pty", reason="no terminals here")
    import pty

    (published / "a.html").write_bytes(
        b"\x1b[2J<img src=x alt='y'>" + b"x" * 3000 + b"<img src=dog.png>" + b"y" * 3000
    )
    command = [sys.executable, "-m", "cutline", "alt", published / "a.html", "--model", tiny]

    def see(**environment: str) -> bytes:
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            command, stdout=theirs, stderr=subprocess.DEVNULL, env={**os.environ, **environment}
        )
        os.close(theirs)
        seen = b""
        try:
            while piece := os.read(ours, 4096):
                seen += piece
        except OSError:  # Linux's way to say that the other end was closed
            pass
        os.close(ours)
        assert process.wait() == 0
        return seen

    coloured, plain = see(NO_COLOR=""), see(NO_COLOR="1")

    assert b"\x1b[32m+" in coloured
    assert b"\x1b[2J" not in coloured
    assert b"\x1b" not in plain
    assert b"xx<img src=dog.png>yy" in plain
    assert b"xx<img src=dog.png alt=" in plain
    assert max(map(len, plain.splitlines())) < 500


OWN = ["README.md", "docs", "examples", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"]
"""What this project publishes."""
TEXT = re.compile(rb'<img [^>]*? alt="[^"]+"|!\[[^\]]+\]\(')


def test_this_projects_own_pages_lack_no_alt_text(run, monkeypatch):
    monkeypatch.chdir(ROOT)

    code, out, err = run("alt", "--check", *OWN)

    assert (code, out, err) == (0, "", "0 missing alt texts\n")


def without_alt_texts(content: bytes) -> bytes:
    content = re.sub(rb'(<img [^>]*?) alt="[^"]*"', rb"\1", content)
    return re.sub(rb"!\[[^\]]*\]\(", b"![](", content)


@pytest.mark.slow
def test_this_projects_own_pages_get_what_was_taken_from_them_and_nothing_else(
    run, tmp_path, monkeypatch
):
    """A copy, their alt texts taken away: dry, applied and once more, with the model inside."""
    for name in OWN:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    pages = sorted(Path().rglob("*.md"))
    told = {page: page.read_bytes() for page in pages}
    bare = {page: without_alt_texts(content) for page, content in told.items()}
    for page, content in bare.items():
        page.write_bytes(content)

    options = ("--min-confidence", 0, "--any-picture", "--style", "sentence")
    dry, diff, _ = run("alt", *options, *OWN)

    assert dry == 0
    assert {page: page.read_bytes() for page in pages} == bare
    assert diff.count("\n+") - diff.count("\n+++") == len(TEXT.findall(b"".join(told.values())))
    assert run("alt", "--check", *OWN)[0] == 1

    assert run("alt", "--apply", *options, *OWN)[0] == 0

    filled = {page: page.read_bytes() for page in pages}
    for page in pages:
        assert without_alt_texts(filled[page]) == bare[page]
        assert len(TEXT.findall(filled[page])) == len(TEXT.findall(told[page]))
    assert run("alt", "--check", *OWN)[0] == 0
    code, out, _ = run("alt", *OWN)
    assert (code, out) == (0, "")
    assert {page: page.read_bytes() for page in pages} == filled
