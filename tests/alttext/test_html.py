"""HTML, templates and Markdown are read as browsers and CommonMark read them, place by place."""

import random

import pytest

from cutline.alttext.html import Dialect, Tag, Text, read_markup
from cutline.alttext.markdown import read_markdown


def sources(text: str, **dialect: bool) -> list[str | None]:
    tags = (part for part in read_markup(text, Dialect(**dialect)) if isinstance(part, Tag))
    return [tag.get("src") for tag in tags if tag.name == "img" and not tag.is_end]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("<img src=a><IMG SRC='b'><img/src=\"c\"/>", ["a", "b", "c"]),
        ('<img title="x>y" src="a b">', ["a b"]),
        ('<img src="a"class=x><img ="y" src=b>', ["a", "b"]),
        ('<img src="first" src="second">', ["first"]),
        ("<img\n\tsrc = 'a'\r\n>", ["a"]),
        ("<img><img src><imgs src=x><image src=x>", [None, ""]),
        ("</img src=x>< img src=x><1 img src=x>", []),
        ("<!-- <img src=x> --><img src=a>", ["a"]),
        ("<!--><img src=a><!---><img src=b><!-- x --!><img src=c>", ["a", "b", "c"]),
        ("<!-- <img src=x>", []),
        ("<!doctype html><!bogus <img src=x><img src=a>", ["a"]),
        ("<?pi x><img src=a></ <img src=x><img src=b>", ["a", "b"]),
        ("<script><img src=x></SCRIPT ><img src=a>", ["a"]),
        ("<script><!-- <script></script> <img src=x> --></script><img src=a>", ["a"]),
        ("<style><img src=x></styles></style><img src=a>", ["a"]),
        ("<textarea><img src=x></textarea><title><img src=x></title><img src=a>", ["a"]),
        ("<script><img src=x>", []),
        ("<svg><style/><title/></svg><img src=a>", ["a"]),
        ("<svg><![CDATA[ > <img src=x> ]]></svg><img src=a>", ["a"]),
        ("<template><img src=a></template><noscript><img src=b></noscript>", ["a", "b"]),
        ("<plaintext><img src=x>", []),
        ('<img src=a><img src="b', ["a"]),
        ('<img src="a><p class="b"><img src=x>"><img src=c>', ['a><p class=', "x", "c"]),
        ("<p a<img src=x><img src=a>", ["a"]),
    ],
)  # fmt: skip
def test_images_are_found_as_browsers_find_them(text, found):
    assert sources(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{{ '<img src=x>' }}<img src=a>", ["a"]),
        ("{% if a > b %}<img src=a>{% endif %}", ["a"]),
        ('<img {% if a > b %}class="c"{% endif %} src=a>', ["a"]),
        ('<img alt="{{ x|default:"<>" }}" src=a>', ["a"]),
        ("<img data-{{ n }}='>' src=a>", ["a"]),
        ("<img src={{ a > b }} class=x>", ["{{ a > b }}"]),
        ("{# <img src=x> #}{% comment %}<img src=x>{% endcomment %}<img src=a>", ["a"]),
        ("{{!-- }} <img src=x> --}}<img src=a>", ["a"]),
        ("{!! '<img src=x>' !!}<% if a > b %><img src=a><% end %>", ["a"]),
        ("<?php echo '?>'; // it's ?><img src=a>", ["a"]),
        ("<?php echo '<img src=x>';", []),
        ("<?php $a = <<<'X'\n?> <img src=x>\nX; ?><img src=a>", ["a"]),
        ("<? if ($a > 1) { ?><img src=a><? } ?>", ["a"]),
        ("a {{ b <img src=a> {% c", ["a"]),
        ('<img title="{{" src=a><img src=b> }}', ["a", "b"]),
    ],
)
def test_template_code_is_passed_over(text, found):
    assert sources(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("<Img src=x><img src={a > b ? {c} : d} alt={e}>", ["{a > b ? {c} : d}"]),
        ("{#if a}<img src=a>{/if} '#}'", ["a"]),
        ("{@html '<img src=x>' + {a}.a}<img src=a>", ["a"]),
        ("<style /><img src=a>", ["a"]),
    ],
)
def test_components_are_no_pages(text, found):
    assert sources(text, components=True) == found


def test_in_prose_a_sign_is_only_a_sign():
    assert sources('a <b and <img src=a>\n\nx <i c="\n\n<img src=b>', prose=True) == ["a", "b"]


def test_every_place_is_the_place():
    text = "x <a href=q>y</a><!-- n --> <IMG  class = \"c\" src='d' alt>{{ e }}"

    parts = list(read_markup(text))

    tags = [part for part in parts if isinstance(part, Tag)]
    assert [text[tag.start : tag.end] for tag in tags] == [
        "<a href=q>", "</a>", "<IMG  class = \"c\" src='d' alt>"
    ]  # fmt: skip
    assert [text[a.start : a.end] for a in tags[2].attributes] == ['class = "c"', "src='d'", "alt"]
    texts = [text[part.start : part.end] for part in parts if isinstance(part, Text)]
    assert texts == ["x ", "y", " ", "{{ e }}"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "sign",
    ["<", "{{", "<!--", "<a ", "<?", "<%", "<![CDATA[", "<a b='", "<a b={",
     "<?php '\\'", "<?php /*", "<a <?php '", "{% comment %}", "{@"],
)  # fmt: skip
@pytest.mark.parametrize(("components", "prose"), [(False, False), (True, True)])
@pytest.mark.timeout(10)
def test_a_page_of_openings_alone_takes_no_time(sign, components, prose):
    list(read_markup(sign * 5_000, Dialect(components, prose)))


# --------------------------------------------------------------------------------------- Markdown


def empty_images(text: str) -> list[str]:
    return [image.source for image in read_markdown(text).images if not image.text]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("![](a.png) ![](<b c.png>) ![](d.png 'title')", ["a.png", "b c.png", "d.png"]),
        ("![](a(1).png) ![](b\\).png) ![](c&amp;d.png)", ["a(1).png", "b).png", "c&d.png"]),
        ("![](my photo.png) !\\[](x) \\![](x) ! [](x)", []),
        ("![][a] ![][ A  b ] ![][no]\n\n[a]: x.png\n[a B]: <y z.png> (t)", ["x.png", "y z.png"]),
        ("`![](x)` ``![](x) ` ``", []),
        ("`![](a.png)", ["a.png"]),
        ("```\n![](x)\n```\n![](a.png)\n~~~~\n![](x)\n~~~\n![](x)", ["a.png"]),
        ("    ![](x)\n\n\t![](x)\n\na\n    ![](a.png)", ["a.png"]),
        ("- ![](a.png)\n\n  ![](b.png)\n\n      ![](x)", ["a.png", "b.png"]),
        ("> ```\n> ![](x)\n\n![](a.png)", ["a.png"]),
        ("<!--\n\n![](x)\n\n-->\n![](a.png)", ["a.png"]),
        ("<div>\n![](x)\n\n![](a.png)\n</div>", ["a.png"]),
        ('<div markdown="1">\n![](a.png)\n</div>', ["a.png"]),
        ("[![](a.png)](b) *![](c.png)*", ["a.png", "c.png"]),
        ("---\nt: ![](x)\n---\n![](a.png)", ["a.png"]),
        ("![]({{ site.url }}/a.png)", ["{{ site.url }}/a.png"]),
        ("{{ '![](x)' }} <a title='![](x)'>", []),
        ("a <b ![](a.png)> ![]() ![](<>)", ["a.png", "", ""]),
        ("# ![](a.png)\r\n\r\n| ![](b.png) |\r\n|--|", ["a.png", "b.png"]),
    ],
)
def test_images_are_found_as_commonmark_finds_them(text, found):
    assert empty_images(text) == found


def test_html_in_markdown_is_what_is_no_code():
    text = "One <img src=a>\n`<img src=x>` \\<img src=x> ![](<img>)\n\n    <img src=x>\n"

    html = read_markdown(text).html

    assert len(html) == len(text)
    assert sources(html, prose=True) == ["a"]


def test_hardly_any_heap_of_signs_is_read_otherwise_than_markdown_it_reads_it():
    """Of 2,000 drawn heaps; those that differ hold HTML that a list or a quote cuts off."""
    markdown_it = pytest.importorskip("markdown_it", reason="the other parser is not installed")
    other = markdown_it.MarkdownIt("commonmark")
    signs = [
        "![](p.png)", "![](p.png)", "text ", "`", "``", "\n", "\n", "\n\n", "    ", "  ", "- ",
        "1. ", "> ", "```\n", "~~~\n", "<div>", "</div>", "<!-- ", " -->", "# ", "***", "\\", "[x]",
        "<b>", "<img src=x>", "\t", "[r]: b.png\n", "![][r]", "* ", "---\n", "(", ")",
    ]  # fmt: skip

    def count(text: str) -> int:
        inline = (child for block in other.parse(text) for child in block.children or [])
        return sum(child.type == "image" and not child.content for child in inline)

    dice = random.Random(7)
    heaps = ["".join(dice.choices(signs, k=dice.randint(2, 14))) for _ in range(2000)]
    differing = [heap for heap in heaps if len(empty_images(heap)) != count(heap)]

    assert sum(map(count, heaps)) > 400
    assert len(differing) <= 10
