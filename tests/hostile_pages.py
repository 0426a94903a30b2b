"""Pages as they lie in people's folders, and a seeded mutator that makes them worse.

An image with `data-want="1"` lacks an alt text that can be written; one with `data-want="0"` must
be left alone. In Markdown, pictures `w*.png` are wanted and pictures `n*.png` are not.
"""

import random
import re
from dataclasses import dataclass

WANTED = ("w0.png", "w1.png", "w2.png", "w%20space.png")
PIXEL = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"

BLOG = """<!DOCTYPE html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <title>Spring <img src="img/w0.png"> in the Alps</title>
  <style>.a > .b::after { content: "<img src='img/w0.png'>" }</style>
  <script>document.write('<img src="img/w0.png">'); if (a<b && c>d) f();</script>
</head>
<body class="post">
<!-- <img src="img/w0.png"> -->
<article>
  <h1>Spring</h1>
  <figure><img data-want="1" src="img/w0.png" width="640" height=480><figcaption>Up</figcaption>
  </figure>
  <p>Text & more text, 3 < 4. <img data-want="1" src='img/w1.png' class='wide left'>
  <img data-want="0" src="img/w0.png" alt="There &lt;already&gt;">
  <img data-want="0" src="img/w0.png" alt="">
  <img data-want="0" src="img/w0.png" alt><br/>
  <a href="/about/"><img data-want="0" src="img/w2.png"> About</a>
  <a href="/home/"><img data-want="0" src="img/w2.png"></a>
  <picture><source srcset="img/w1.png 2x"><img data-want="1" src="img/w1.png?v=3#top"
    loading="lazy" /></picture>
  <img data-want="0" src="img/w0.png" role="presentation">
  <img data-want="0" src="img/w0.png" aria-hidden="true">
  <img data-want="0" src="https://stats.example.org/hit.gif" width="1" height="1">
  <img data-want="0" src="https://example.org/photo.jpg"><img data-want="0" src="img/missing.jpg">
  <noscript><img data-want="1" src="img/w%20space.png"></noscript>
  <textarea><img src="img/w0.png"></textarea>
</article>
</body>
</html>
"""

OLD = """<HTML><HEAD><TITLE>Gästebuch</TITLE></HEAD>
<BODY BGCOLOR=#FFFFFF TEXT="#000000">
<TABLE BORDER=0><TR><TD><IMG DATA-WANT=0 SRC=img/spacer.gif WIDTH=20 HEIGHT=40><TD><FONT SIZE=2>
<IMG DATA-WANT=1 SRC=img/w0.png BORDER=0><BR>
<P>Größe: 3 < 5 & 7 > 2<A HREF=next.htm><IMG BORDER="0" DATA-WANT="0" SRC="img/w1.png"></A>
<IMG DATA-WANT=1 SRC=./img/w2.png ALIGN=left HSPACE=5>
<IMG SRC="img/w2.png" DATA-WANT="0" ALT="Blümchen" ALT="">
<!--[if IE]><IMG SRC="img/w0.png"><![endif]-->
</TABLE></BODY></HTML>"""

XHTML = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd">
<html xmlns="http://www.w3.org/1999/xhtml"><head><title>Notes</title></head>
<body>
<svg viewBox="0 0 9 9"><style><![CDATA[ a > b { content: "<img src='img/w0.png'/>" } ]]></style>
<title>x</title><path d="M0 0"/></svg>
<p><img data-want="1" src="img/w0.png" />
<img data-want="0" alt="dr&#228;u&szlig;en" src="img/w1.png" />
<img data-want="1"
     src="img/w1.png"
     title=""
/></p>
<p title="a > b"><img data-want="0" src="img/w1.png" title="A named one" /></p>
</body></html>
"""

HUGO = """{{ define "main" }}
{{/* <img src="img/w0.png"> */}}
<main>{{ range .Pages }}
  <a href="{{ .Permalink }}"><img data-want="0" src="{{ .Params.image | relURL }}"></a>
  {{- with .Params.cover }}<img data-want="0" src="{{ . }}" alt="{{ $.Title }}">{{ end -}}
{{ end }}
<img data-want="1" src="img/w0.png" {{ if .Wide }}class="wide"{{ end }} >
<img data-want="0" src="img/w0.png" {{ .Attributes }}>
<img data-want="1" class="{{ if gt .Count 3 }}many{{ else }}few{{ end }}" src="img/w1.png">
{{ printf "<img src='img/w2.png'>" | safeHTML }}
{{< figure src="img/w2.png" >}}
</main>
{{ end }}
"""

DJANGO = """{% extends "base.html" %}{% load static %}
{% block content %}
{# <img src="img/w0.png"> #}
{% comment %}<img src="img/w0.png">{% endcomment %}
<h1>{{ page.title|default:"<img src='img/w0.png'>" }}</h1>
<img data-want="0" src="{% static 'img/w0.png' %}">
<img data-want="1" {% if a > b %}class="big"{% endif %} src="img/w0.png">
<img data-want="0" {% include "attributes.html" %} src="img/w0.png">
<img data-want="0" src="img/w0.png" alt="{{ name|default:"no name" }}">
<img data-want="1" src="img/w1.png" data-title="{{ name|default:"a > b" }}"/>
{% for item in items %}<img data-want="0" src="/media/{{ item.picture }}">{% endfor %}
{% endblock %}
"""

PHP = """<?php
/* Template Name: Front ?> */
$logo = '<img src="img/w0.png">'; // <img src='img/w1.png'>
echo "<p class=\\"x\\"><img src='img/w0.png'>";
$text = <<<HTML
<img src="img/w1.png"> ?>
HTML;
?>
<div id="<?php echo $id; ?>">
<img data-want="0" src="<?php echo get_template_directory_uri(); ?>/img/w0.png">
<img data-want="0" src="<?= $url ?>" alt="<?= $alt ?>">
<img data-want="1" src="img/w1.png" class="<?php echo $a > 1 ? "a" : "b"; ?>">
<img data-want="1" <?php if ($wide > 3): ?>class='wide'<?php endif; ?> src='img/w2.png'>
<img data-want="0" src="img/w2.png" <?php the_attributes(); ?>>
</div>
<?php foreach ($posts as $post) { echo '<img src="img/w2.png">'; }
"""

VUE = """<template>
  <div @click="a > b ? go() : stop()">
    <img data-want="0" :src="photo.url"><img data-want="0" src="img/w0.png" :alt="photo.text" />
    <img data-want="1" src="img/w0.png" v-if="count > 3" @load="done = true"/>
    <Img data-want="0" src="img/w0.png" />
    <img data-want="0" src="img/w1.png" v-bind="attributes">
    <img data-want="0" src="@/assets/w2.png">
    <p>{{ '<img src="img/w0.png">' }}</p>
  </div>
</template>
<script>export default { template: `<img src="img/w0.png">` }</script>
<style scoped>a > b {}</style>
"""

LAZY = f"""<section>
<img data-want="1" src="{PIXEL}" data-src="img/w0.png" class="lazy">
<img data-want="0" src="{PIXEL}">
<img data-want="1" srcset="img/w1.png 1x, img/w2.png 2x">
<img data-want="0" class="preview" id="later">
<button><img data-want="0" src="img/w0.png"><span>Save</span></button>
<a href="x" aria-label="Home"><img data-want="0" src="img/w0.png"></a>
<a href="y">&nbsp;<img data-want="0" src="./img/w0.png" style="width: 100%">&nbsp;</a>
<img data-want="0" src="img/w0.png" style="display:none"><img data-want="0" src="mailto:a@b.c">
</section>"""

README = """# A project

[![](n0.svg)](https://ci.example.org) ![built](n1.png)

![](img/w0.png)

Some text ![](<img/w space.png> "title") and `![](img/n0.png)`, \\![](img/n1.png).

```html
<img src="img/n0.png">
![](img/n0.png)
```

    ![](img/n0.png)

1. one ![](img/w1.png)

       ![](img/n0.png)
2. two
   ~~~
   ![](img/n0.png)
   ~~~

> quoted ![][w]

<p align="center">
  <img data-want="1" src="img/w2.png" width="300">
  ![](img/n0.png)
</p>

<!-- ![](img/n0.png)

<img src="img/w0.png"> -->

| a | b |
|---|---|
| ![](img/w1.png) | ![x](img/n0.png) |

![][none] ![](https://example.org/a.png) ![]({{ site.url }}/a.png) <b>![](img/w0.png)</b>

[w]: img/w2.png 'a title'
"""

JEKYLL = """---
title: "![](img/n0.png)"
cover: <img src="img/w0.png">
---
{% highlight html %}
<img src="img/w0.png">
{% endhighlight %}

{% include figure.html url="img/w0.png" %} {% include figure.html src="img/n0.png" alt="said" %}
![](img/w0.png){: .wide}
![](img/n0.png){: alt="said"}

* * *
- a
- ![](img/w1.png)
    - deeper ![](img/w2.png)

Last line <img data-want="1" src='img/w0.png'>"""

SPHINX = """Guide
=====

.. image:: img/w0.png
.. figure:: img/w1.png
   :align: left

   Some text

.. image:: img/n0.png
   :alt: said

An example::

    .. image:: img/n1.png

.. code-block:: rst

    .. image:: img/n0.png

.. |pic| image:: img/w2.png

* - .. image:: img/w0.png
       :width: 20
"""

ASCIIDOC = """= Guide
:pictures: img

image::img/w0.png[]

Some text image:img/w1.png[] and image:img/n0.png[said] `image:img/n1.png[]`

----
image::img/n0.png[]
----

image::{pictures}/w2.png[]
// image::img/n0.png[]
[source]
image::img/n0.png[]

image::img/n0.png[link="x"]
"""

JSX = """import Photo from "next/image";
const text = "<img src='img/n0.png'>", other = `<img src="img/n0.png"/> ${1 < 2}`;
export const Page = ({ a }) => a < 2 && (
  <main className="x"> {/* <img src="img/n0.png"/> */}
    <img data-want="1" src="img/w0.png" /> Don't text
    <Photo data-want="1" src="img/w1.png"/>
    <img data-want="0" src={a} />{a > 3 ? <img data-want="1" src="img/w2.png"/> : null}
    <img data-want="0" src="img/w2.png" {...a} />
    <a href="x"><img data-want="0" src="img/w0.png"/></a>
  </main>
);
"""

ASTRO = """---
const text = "<img src='img/n0.png'>";
---
<html><body class="x">{/* <img src="img/n0.png"> */}
<img data-want="1" src="img/w0.png">
{[1].map((n) => <p>text <img data-want="1" src="img/w1.png"></p>)}
<img data-want="0" src={text}><style>a > b {}</style>
<!-- <img src="img/n0.png"> -->
</body></html>
"""

MDX = """import x from "y"

<div>
  ![](img/w0.png)
</div>

{/* ![](img/n0.png) */}

    <Tab>![](img/w1.png)</Tab>

<img data-want="1" src="img/w2.png" /> Some text
"""

PAGES = {
    "blog.html": BLOG, "old.htm": OLD, "notes.xhtml": XHTML, "list.tmpl": HUGO,
    "page.jinja": DJANGO, "front.php": PHP, "App.vue": VUE, "lazy.html": LAZY,
    "README.md": README, "post.markdown": JEKYLL, "guide.rst": SPHINX, "guide.adoc": ASCIIDOC,
    "Page.jsx": JSX, "home.astro": ASTRO, "tips.mdx": MDX,
}  # fmt: skip
COMPONENT = re.compile("<template>|import |---\r?\nconst")
"""How the pages of components begin."""
WELL_FORMED = ("blog.html", "old.htm", "notes.xhtml", "lazy.html")
"""Without template code: any parser of HTML reads them."""


@dataclass(frozen=True)
class Hostile:
    """A page after its mutations."""

    name: str
    content: bytes
    mutations: tuple[str, ...]
    is_whole: bool
    """What was wanted is wanted still."""


def shout(text: str, dice: random.Random) -> str:
    """Tags and attributes of images in capitals; `<IMG>` of components would be another element."""
    if COMPONENT.match(text):
        return text
    return re.sub(r"<img(?=\s)|\bsrc=|\balt=", lambda found: found[0].upper(), text)


def swap_quotes(text: str, dice: random.Random) -> str:
    return re.sub(r'(src|class)="([^"\'{}<>;$]*)"', r"\1='\2'", text)


def drop_quotes(text: str, dice: random.Random) -> str:
    if text.startswith("import "):  # JSX has no values without quotes
        return text
    return re.sub(r'(?<=src=)"([\w./%-]+)"(?=[ >])', r"\1", text)


def crlf(text: str, dice: random.Random) -> str:
    return text.replace("\n", "\r\n")


def lone_cr(text: str, dice: random.Random) -> str:
    return text.replace("\n", "\r")


def duplicate(text: str, dice: random.Random) -> str:
    """A second `src`, which browsers ignore."""
    return re.sub(r'(<img[^>{<]*src="[^"{<]*")(?=[^>{<]*>)', r'\1 src="img/n9.png"', text)


def strangers(text: str, dice: random.Random) -> str:
    return re.sub(r"\b[Tt]ext\b", "tëxt – 写真表示ソ «ok» 😀", text)


def bom(text: str, dice: random.Random) -> str:
    return "\ufeff" + text


def nul(text: str, dice: random.Random) -> str:
    places = sorted(dice.sample(range(len(text)), 5), reverse=True)
    for place in places:
        text = text[:place] + "\0" + text[place:]
    return text


def open_comment(text: str, dice: random.Random) -> str:
    place = dice.randrange(len(text))
    return (
        text[:place]
        + dice.choice(["<!--", "<!-->", "<![CDATA[", "<script>", "<?", "</"])
        + text[place:]
    )


def open_code(text: str, dice: random.Random) -> str:
    place = dice.randrange(len(text))
    return (
        text[:place]
        + dice.choice(["{{", "{%", "<?php ", "<%", "{{ '", "```\n", "`"])
        + text[place:]
    )


def open_quote(text: str, dice: random.Random) -> str:
    place = text.find('"', dice.randrange(len(text)))
    return text if place < 0 else text[:place] + text[place + 1 :]


def nest(text: str, dice: random.Random) -> str:
    """A tag in a tag, code in code."""
    place = text.find("<img", dice.randrange(len(text)))
    inner = dice.choice(["<img ", "{{ '{{' }}", "{% if '<img' %}", "<a <b ", "<img src='"])
    return text if place < 0 else text[:place] + inner + text[place:]


def shuffle(text: str, dice: random.Random) -> str:
    """Two lines change places."""
    lines = text.splitlines(keepends=True)
    if len(lines) > 2:
        one, other = dice.sample(range(len(lines)), 2)
        lines[one], lines[other] = lines[other], lines[one]
    return "".join(lines)


HARMLESS = (shout, swap_quotes, drop_quotes, crlf, strangers, duplicate)
HARMFUL = (lone_cr, bom, nul, open_comment, open_code, open_quote, nest, shuffle)
ENCODINGS = ("utf-8", "latin-1", "shift-jis", "utf-16", "gb18030")


def make_pages(count: int, seed: int) -> list[Hostile]:
    """So many pages; the first of each kind are as they were written."""
    dice, names = random.Random(seed), list(PAGES)
    pages = [Hostile(name, PAGES[name].encode(), (), True) for name in names]
    while len(pages) < count:
        name = names[len(pages) % len(names)]
        chosen = dice.sample(HARMLESS, dice.randint(1, 3))
        harm = dice.sample(HARMFUL, dice.randint(0, 2))
        text, encoding = PAGES[name], dice.choice(ENCODINGS)
        for mutation in (*chosen, *harm):
            text = mutation(text, dice)
        content = text.encode(encoding, "replace")
        told = [mutation.__name__ for mutation in (*chosen, *harm)] + [encoding]
        if cut := dice.random() < 0.2:
            content = content[: dice.randrange(len(content))]
            told.append("cut")
        is_whole = not harm and not cut
        pages.append(Hostile(name, content, tuple(told), is_whole))
    return pages
