"""Kinds of pages beside HTML and Markdown: what other programs read of them, before and after."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from cutline.alttext.diff import Edit, as_diff
from cutline.alttext.edit import Change, fill
from cutline.alttext.jsx import read_astro, read_jsx
from cutline.alttext.pages import Skipped
from sites import Double, draw_site

RST = """\
Title
=====

.. image:: dog.png
.. image:: dog.png
    :width: 20

.. figure:: dog.png
   :alt: image
   :align: left

   Caption

Code::

   .. image:: cat.png

.. code-block:: rst

   .. image:: cat.png

.. list-table::

   * - .. image:: dog.png
     - x

.. comment
   .. image:: cat.png

|a| and |b|

.. |a| image:: dog.png
   :target: https://example.org
.. |b| image:: dog.png
   :alt:

.. note::

   .. image::
      dog.png"""
ADOC = """\
= Title
:pictures: img

image::dog.png[]

Text image:dog.png[width=20] and more image:dog.png[A dog, 20].
// image::cat.png[]

----
image::cat.png[]
----

.image::cat.png[]
image::dog.png["",100]
image::{pictures}/hen.png[,100]
image::{unknown}/cat.png[]

[source,asciidoc]
image::cat.png[]

image::dog.png[link=https://example.org]

image::dog.png[image,100]

|===
a|image::dog.png[]
|===

* item
+
image::dog.png[opts="inline"]
"""
TSX = """\
import Photo from "next/image";
import { Image } from "elsewhere";
import hero from "./dog.png";

type Maker = <T>(of: T) => Props<string>;
const same = <T,>(it: T) => it < 3 ? /['"<]/ : "<img src='cat.png'>";
export default function Page({ a }: Props) {
  // <img src="cat.png">
  const s = `<img src="cat.png"/> ${a ? <img src="dog.png"/> : ''}`;
  if (a < 3 && 4 > a) return <img src={'dog.png'} alt={"image"} />;
  return (
    <>
      <p>Don't // do `this` {/* <img src="cat.png"/> */} <img src="./dog.png"/></p>
      <Photo src={hero} width={1000} height={20} />
      <Photo src="/dog.png" alt={""} fill/>
      <Link href="/"><Photo src={hero} /></Link>
      <Link href="/"><Photo src={hero} />{a}</Link>
      <img {...a} src="dog.png" /><img src={a.b} /><img src="dog.png" alt={a.b} />
      <Foo<Bar> icon={<img src='dog.png'/>} on={() => a > 2}>{a.map((x) => <img src={x} />)}</Foo>
      <Image src="cat.png" />
    </>
  );
}
"""
ASTRO = """\
---
import { Image } from 'astro:assets';
import hero from './dog.png';
const x = a < b ? '<img src="cat.png">' : "";
---
<!doctype html>
<style>a > b {}</style><script>if (a<b) "<img src='cat.png'>"</script>
<!-- <img src="cat.png"> -->
<img src="dog.png">
<Image src={hero} {alt} />
<Image src={hero} />
{list.map((i) => <li><img src={i.src}><img src="dog.png"></li>)}
<p>1 < 2 <br> {x && "a"}
"""
MDX = """\
import hero from './dog.png'

<div>
  ![](dog.png)
</div>

<Tab title="a">![](dog.png) {/* ![](cat.png) */}</Tab>
    <Tab value={`x > y`}>

    ![](dog.png)

    ```js
    ![](cat.png)
    ```
    </Tab>

<Image src={hero} /> <img src={require('./dog.png').default} width={300}/>
"""
SHORTCODES = """\
{{< figure src="dog.png" title="x" >}} {{% figure src=dog.png %}}
{{< figure src="/dog.png" alt="" >}} {{< figure src="cat.png" caption="A cat" >}}
{{< figure src="cat.png" link="x" >}} {{</* figure src="cat.png" */>}}
{{< figure src="dog.png" alt="dog.png" >}} {{< img src="cat.png" >}} {{< video src="cat.png" >}}

`{{< figure src="cat.png" >}}`

{% include figure.html src="dog.png" class='x' %} {% include figure image_path="/dog.png" alt="A" %}
{% include image.html url='dog.png' %} {% include img.html url="cat.png" %}
{% include picture.html url=page.x %} {% include image.html url=page.img %} {% include toc.html %}
"""
PAGES = {
    "a.rst": (RST, 4), "a.adoc": (ADOC, 5), "a.tsx": (TSX, 4), "a.astro": (ASTRO, 3),
    "a.mdx": (MDX, 5), "a.md": (SHORTCODES, 4),
}  # fmt: skip
"""And how many pictures are filled in; `cat.png` is always left alone."""


@pytest.fixture(autouse=True)
def site(tmp_path, monkeypatch) -> Path:
    """A folder with pictures, which is the current one."""
    monkeypatch.chdir(tmp_path)
    Path("_includes").mkdir()
    Path("_includes/image.html").write_text('<img src="{{ include.url }}" alt="{{ include.alt }}">')
    Path("_includes/img.html").write_text('<img src="{{ include.url }}">')
    return draw_site(tmp_path)


def filled(name: str, page: str | bytes, **options) -> Change:
    Path(name).write_bytes(page if isinstance(page, bytes) else page.encode())
    *_, change = fill([name], Double("zyx wvu").caption_each, **options)
    return change


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_only_texts_are_added_and_a_second_run_changes_nothing(name, newline):
    page, count = PAGES[name]
    before = page.replace("\n", newline)

    change = filled(name, before)
    after = change.content.decode()

    assert sum(picture.state == "filled" for picture in change.pictures) == count
    assert not any(p.alt for p in change.pictures if p.source.endswith("cat.png"))
    without = re.sub(
        r"(\r?\n *:alt: | alt=[\"'])Zyx wvu\.[\"']?|Zyx wvu\.(?:,(?=[a-z]))?", "", after
    )
    assert without == before
    again = filled(name, change.content)
    assert again.is_empty
    assert again.diff == b""


@pytest.mark.parametrize("name", PAGES)
def test_the_diff_is_one_that_patch_reads(name):
    change = filled(name, PAGES[name][0])

    done = subprocess.run(["patch", "-p1"], input=change.diff, capture_output=True, check=True)

    assert done.stdout.decode() == f"patching file {name}\n"
    assert Path(name).read_bytes() == change.content
    minus = [line for line in change.diff.split(b"\n") if line[:1] == b"-" and b"---" not in line]
    assert name != "a.rst" or minus == [b"-      dog.png"]  # which had no newline at its end


def test_lines_are_added_in_a_diff_between_others():
    lines = b"".join(b"%d\n" % n for n in range(30))
    edits = [Edit(3, 3, b"\nx"), Edit(4, 5, b""), Edit(70, 70, b"new\n"), Edit(80, 80, b"\nx")]

    diff = as_diff("a", lines, edits, "utf-8")

    after, at = b"", 0
    for edit in edits:
        after, at = after + lines[at : edit.start] + edit.text, edit.end
    Path("a").write_bytes(lines)
    subprocess.run(["patch", "-p1"], input=diff, capture_output=True, check=True)
    assert Path("a").read_bytes() == after + lines[at:]


def test_placeholders_are_replaced_in_every_kind():
    options = {"placeholders": True}
    assert b":alt: Zyx wvu.\n   :align" in filled("a.rst", RST, **options).content
    assert b"image::dog.png[Zyx wvu.,100]" in filled("a.adoc", ADOC, **options).content
    assert b"src={'dog.png'} alt=\"Zyx wvu.\" />" in filled("a.tsx", TSX, **options).content
    assert b'src="dog.png" alt="Zyx wvu." >}}' in filled("a.md", SHORTCODES, **options).content


# ------------------------------------------------------------------------------ read by others


def test_docutils_reads_the_texts_and_nothing_else_has_changed():
    core = pytest.importorskip("docutils.core", reason="docutils is not installed")
    nodes = pytest.importorskip("docutils.nodes")

    def read(page: str):
        settings = {"report_level": 5, "file_insertion_enabled": False}
        return core.publish_doctree(page, settings_overrides=settings)

    page = RST.replace("code-block", "code")
    before, after = read(page), read(filled("a.rst", page).content.decode())
    texts = [image.get("alt") for image in after.findall(nodes.image)]
    assert texts.count("Zyx wvu.") == 4
    assert texts.count("image") == 1
    for image in after.findall(nodes.image):
        if image.get("alt") == "Zyx wvu.":
            del image["alt"]
    assert after.pformat() == before.pformat()


def test_asciidoctor_reads_the_texts():
    program = shutil.which("asciidoctor")
    if not program:
        pytest.skip("asciidoctor is not installed")
    page = filled("a.adoc", ADOC)
    Path("a.adoc").write_bytes(page.content)

    html = subprocess.run(
        [program, "-o", "-", "a.adoc"], capture_output=True, text=True, check=True
    ).stdout

    assert html.count('alt="Zyx wvu."') == 5
    assert html.count("<img") == 10


def test_a_parser_of_typescript_finds_the_same_tags():
    tree_sitter = pytest.importorskip("tree_sitter", reason="tree-sitter is not installed")
    grammar = pytest.importorskip(
        "tree_sitter_typescript", reason="tree-sitter-typescript is not installed"
    )
    parser = tree_sitter.Parser(tree_sitter.Language(grammar.language_tsx()))

    def find(node):
        if node.type in ("jsx_opening_element", "jsx_self_closing_element"):
            yield node.start_byte, node.end_byte
        for child in node.children:
            yield from find(child)

    for page in (TSX, filled("a.tsx", TSX).content.decode()):
        tags = [tag for tag in read_jsx(page) if hasattr(tag, "attributes") and not tag.is_end]
        tree = parser.parse(page.encode())
        assert not tree.root_node.has_error
        assert sorted((tag.start, tag.end) for tag in tags) == sorted(find(tree.root_node))


# ------------------------------------------------------------------------------ what is not read


@pytest.mark.parametrize(
    "page",
    ["const a = <div>", "f(<a></b>)", "}", "{(]", "`${", "<a b=>", "x = <" + "a>" * 300,
     "{" * 100_000, "a = <a>{" * 1000, "`${" * 1000],
)  # fmt: skip
def test_code_that_cannot_be_told_from_markup_is_left_alone_and_counted(page):
    Path("a.tsx").write_text(page)

    [found] = fill(["a.tsx"], Double().caption_each)

    assert found == Skipped(Path("a.tsx"), "unclear")


def test_a_script_is_read_if_it_has_elements_of_a_library():
    element = 'export default () => <img src="dog.png"/>;\n'
    pages = {
        "a.js": f'import React from "react";\n{element}',
        "b.js": f"const Link = require('gatsby');\n{element}",
        "c.min.js": f'import "react";\n{element}',
        "d.js": element,
        "e.js": 'import "react";\nconst a = 1 < 2;\n',
    }
    for name, page in pages.items():
        Path(name).write_text(page)

    *_, first, second = fill(["."], Double("zyx wvu").caption_each)

    assert [change.page.path.name for change in (first, second)] == ["a.js", "b.js"]
    expected = pages["a.js"].replace('"dog.png"', '"dog.png" alt="Zyx wvu."')
    assert first.content.decode() == expected


def test_astro_pages_may_leave_elements_open():
    tags = [tag.name for tag in read_astro("<ul><li><img><li>{a && <br>}</ul><p>") if tag.name]

    assert tags == ["ul", "li", "img", "li", "br", "ul", "p"]


def test_paths_of_sphinx_and_antora_lead_to_their_files():
    Path("docs/deep").mkdir(parents=True)
    Path("docs/conf.py").write_text("")
    shutil.copy("dog.png", "docs/dog.png")
    Path("docs/deep/a.rst").write_text(".. image:: /dog.png\n\n.. image:: ../dog.*\n")
    Path("modules/ROOT/pages").mkdir(parents=True)
    Path("modules/ROOT/images").mkdir()
    shutil.copy("dog.png", "modules/ROOT/images/hen.png")
    Path("modules/ROOT/pages/a.adoc").write_text("image::hen.png[]\n\nimage:gone.png[]\n")

    *_, first, second = fill(["docs", "modules"], Double().caption_each)

    assert [picture.alt for picture in first.pictures] == ["A dog.", "A dog."]
    assert [picture.state for picture in second.pictures] == ["filled", "file_not_found"]
    assert second.pictures[0].alt == "A hen."


def test_a_text_with_signs_stays_one_text():
    def fill_with(name: str, page: str) -> str:
        Path(name).write_text(page)
        *_, change = fill([name], Double('a "b", c=d]{e} <f> \\g').caption_each)
        return change.content.decode()

    assert fill_with("a.adoc", "image::dog.png[]") == "image::dog.png[\"A 'b', c=de f g.\"]"
    assert fill_with("a.md", '{{< figure src="dog.png" >}}').count('"') == 4
    assert ':alt: A "b", c=d]{e} <f> \\g.' in fill_with("a.rst", ".. image:: dog.png\n")
    assert "{" not in fill_with("a.jsx", 'x = <img src="dog.png"/>')
