"""What names in components stand for: `import hero from "./hero.png"`, next/image's `Image`."""

import re
from dataclasses import dataclass

from cutline.images.formats import SUFFIXES

MODULES = re.compile(
    r"next/(?:legacy/|future/)?image|astro:assets|astro-imagetools/components|gatsby-plugin-image"
    r"|@unpic/.+|next-image-export-optimizer|@astrojs/image/components|@docusaurus/.*IdealImage"
    r"|@theme/(?:IdealImage|ThemedImage)"
)
"""Modules whose `Image` has the `src` and `alt` of `<img>`."""
NAMES = ("Image", "Picture", "StaticImage")
_IMPORT = re.compile(
    r"^[ \t]*import\b(?P<what>[\w$*{}\s,]{1,1000}?)\bfrom\s*"
    r"[\"'](?P<module>[^\"'\n]+)[\"']",
    re.M,
)
_REQUIRED = re.compile(
    r"^[ \t]*(?:const|let|var)[ \t]+(?P<what>[\w$]+)[ \t]*=[ \t]*require\("
    r"[\"'](?P<module>[^\"'\n]+)[\"']",
    re.M,
)
_DIRECT = re.compile(
    r"\{\s*(?:(?P<base>useBaseUrl|withBase|withPrefix|getAssetPath)|require)"
    r"\(\s*[\"'](?P<path>[^\"'\n]+)[\"']\s*\)(?:\.default|\.src)*\s*\}"
)
_NAMED = re.compile(r"\{\s*(?P<name>[\w$]+)(?:\.src|\.default)?\s*\}")


@dataclass(frozen=True)
class Imports:
    """The pictures that a file imports, and its image components."""

    pictures: dict[str, str]
    """Addresses by name."""
    components: frozenset[str]
    """Names of elements that take `src` and `alt` as `<img>` does."""

    @classmethod
    def read(cls, text: str) -> "Imports":
        """What a component imports."""
        pictures, components, others = dict[str, str](), set[str](), set[str]()
        for found in (*_IMPORT.finditer(text), *_REQUIRED.finditer(text)):
            first, _, braces = found["what"].partition("{")
            module, default = found["module"], first.strip(" ,\r\n\t")
            named = [part.split() for part in braces.rstrip("} \r\n\t").split(",") if part.strip()]
            local = [*([default] if default else []), *(words[-1] for words in named)]
            if default.startswith("type "):
                continue
            if MODULES.fullmatch(module):
                known = {words[-1] for words in named if words[0] in NAMES}
                components |= known | ({default} if default else set())
            elif default and module.split("?")[0].lower().endswith((*SUFFIXES, ".svg")):
                pictures[default] = module.split("?")[0]
            others |= set(local)
        free = {name for name in NAMES[:2] if name not in others}
        return cls(pictures, frozenset(components | free))

    def resolve(self, value: str) -> str:
        """The address that `{hero}` or `{require("./hero.png")}` stands for; else the value."""
        if direct := _DIRECT.fullmatch(value):
            path = direct["path"]
            return f"/{path.removeprefix('/')}" if direct["base"] else path
        named = _NAMED.fullmatch(value)
        path = self.pictures.get(named["name"], "") if named else ""
        return path if path.startswith((".", "/", "@/", "~/")) else value
