"""Tokenizer: text to words and back, the same for the vocabulary and the metrics.

Captions become lower-case words without punctuation, split as the COCO evaluator splits them, which
follows the Penn Treebank: `don't` becomes `do n't`, `t-shirt` stays one word. The rules were
inferred from the output of the Stanford tokenizer (CoreNLP 3.4.1) that the evaluator calls, never
from its source. There are two differences: captions are tokenized one by one, whereas the evaluator
tokenizes all of them as one text, in which a full stop may depend on the next caption; and line
separators (U+2028, U+2029, a lone carriage return, vertical tab or form feed), which make the
evaluator assign all later captions to the wrong image, only separate words here.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import zip_longest
from unicodedata import category

DROPPED = frozenset(["''", "'", "``", "`", '"', ".", "?", "!", ",", ":", "-", "--", "...", ";"])
"""The punctuation that the COCO evaluator removes after tokenizing. Its list also has `-LRB-` and
other brackets, but by then they are in lower case, and so they remain."""

RESPELT = str.maketrans(
    dict.fromkeys("‘‛‹\x91", "`")
    | dict.fromkeys("’›\x92", "'")
    | dict.fromkeys("“«\x93", "``")
    | dict.fromkeys("”»\x94", "''")
    | dict.fromkeys("―—–\x96\x97", "--")
    | dict.fromkeys("…\x85", "...")
    | dict.fromkeys("¤€₠\x80", "$")
    | {"¼": "1/4", "½": "1/2", "¾": "3/4", "⅓": "1/3", "⅔": "2/3", "£": "#", "¢": "cents"}
)
"""Characters outside ASCII that are replaced by ASCII."""

SPELT = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"} | {
    "&amp;": "&",
    "&lt;": "<",
    "&gt;": ">",
    "&nbsp;": "",
    "&mdash;": "--",
    "&ndash;": "--",
}
"""Characters that are spelled out, and HTML entities."""

ABBREVIATIONS = """
    adj adm alex asst atty attys ave brig capt cf cie cmdr col comdr cpl dept dr drs elec ens ft gen
    gov govs hon insp invt jos lieut lt maj messrs mfg mlle mme mr mrs ms msgr mt mtg natl p.l.c pfc
    ph pres prof profs prop pte pvt rep reps rev s.p.a sen sens sgt spc st ste supt supts treas vs
    wm
"""
"""Abbreviations that keep their full stop."""
ENDINGS = """
    al ala apr ariz assn assoc aug bhd bldg blvd bros calif co colo conn corp cos ct dak dec esq est
    etc ext feb fla fri ga inc ind intl jan jr jul jun kan kans ky ltd mar md mich minn mo mon mont
    neb nev nov oct okla penn ph.d plc pty rd rt sep sept seq sq sr tel tenn thu thurs tue tues univ
    va vt wed wis wisc wyo
"""
"""Those that keep it even before a letter: `etc.a` is `etc. a`."""
PLACES = "Ark Az Del Ill La Mass Miss Ore Pa Tex Wash"
"""Those that keep it only if capitalized."""
COUNTERS = "art ca fig figs no nos op p pp"
"""Those that keep it before a number."""
OPENINGS = """
    A About After An As At But He Her Here However If In It Last Many More Now One Other She
    Since So Some Such That The Their Then There These They This We What When While You
"""
"""Words that begin a sentence: a single letter before them loses its full stop."""

FILES = """
    bat bmp c cgi class cpp dll doc docx exe gif gz h htm html jar java jpeg jpg mov mp3 pdf php pl
    png ppt ps py sql tar txt wav x xml zip
"""
"""File suffixes."""

MARKS = "".join(chr(code) for code in range(0x300, 0x3100) if category(chr(code)) in ("Mn", "Mc"))
"""Combining marks, which `re` does not count as letters."""
NUMERALS = (
    "²³¹¼-¾\u2070\u2074-\u2079\u2080-\u2089\u2150-\u2189\u2460-\u249b\u24ea-\u24ff\u2776-\u2793"
)
"""Numbers that `re` counts as letters."""
SIGNS = (
    "!-/:-@\\[-`{-~\x80\x85\x91-\x94\x96\x97¡-©«¬®-±´¶-¹»-¿×÷;·"
    "\u0589\u05be\u05c0\u05c3\u05c6\u05f3\u05f4\u0606-\u060c\u061b\u061e\u061f\u066a\u066d\u06d4\u0964\u0965"
    "฿๏–—―‖‗‘-‣‰-‸‹-›※‾-⁂⁄⁴-⁾₀-₎₠₤€℀℁℃-℆℈℉℔№-℘℞-℣℥℧℩℮℺℻⅀-⅄⅊-⅍⅓-⅞←-⯿"
    "、。〒・！-／：-＠［-｀｛-･￠￡￥￦"
)
"""Symbols that are words of their own; all others, such as emoji, only separate words."""

LETTER = rf"(?:[^\W\d_{NUMERALS}]|&[AEIOUaeiou](?i:acute|grave|uml);)"
LETTERS = rf"(?:{LETTER}|[{MARKS}\xad])"
PART = rf"(?:\d(?:\d|{LETTER})*|{LETTER}(?:\d|\xad|{LETTER})*)(?:_(?:\d|{LETTER})+)*"
WORD = rf"{LETTERS}(?:\d|{LETTERS})*(?:[.!?]{LETTERS}(?:\d|{LETTERS})*)*"
"""Letters and digits between hyphens, and a word without hyphens."""
QUOTE = r"(?:['’\x92]|(?i:&apos;))"
TICK = rf"(?:{QUOTE}|[‘‛`\x91])"
"""Quotation marks that may stand for an apostrophe, and those that may inside some words only."""
LIMB = rf"(?:[DLOdlo]{TICK}(?=[^\W_]{{2}}))?{PART}"
THING = rf"{LIMB}(?:[-‐‑]\xad*{LIMB})*"
MILE = r"[A-Za-z0-9]+(?:[.,][A-Za-z0-9]*){,9}(?:-[A-Za-z0-9]+)+"
FIRM = r"[A-Z]+(?:(?:(?i:&amp;)|[+&])[A-Z]+)+"
"""Words with hyphens; with a full stop or comma before a hyphen; capitals around an `&`."""
TAG = r"[A-Za-z][A-Za-z0-9_:.-]*"
LINK = r"[^ \t\r\n\x0c\"<>|(){}]"
LAST = r"[^ \t\r\n\x0c\"<>|.!?(){},-]"
SITE = r"(?i:www\.)(?:[^ \t\r\n\x0c\"<>|.!?(){},]{1,63}\.){1,9}[A-Za-z]{2,4}"
NAME = r"(?:[^ \t\r\n\x0c\"$'(),-_`{|}.!?]{1,63}\.){1,9}(?i:com|edu|net|org|gov)"
HOST = r"[^ \t\r\n\x0c\xa0\"<>|.(){}]"
"""Parts of tags and URLs; all lengths are bounded, so that matching takes linear time."""


LIKE_YOU = ("uni", "use", "usu", "ute", "uti", "uri", "eu", "ewe", "one", "once")
UNLIKE_YOU = ("unin", "unim", "unid")
SILENT = ("hour", "honest", "honor", "heir")
"""Prefixes of words whose first sound differs from their first letter, for `article_of`."""


def _any_of(words: Iterable[str]) -> str:
    return f"(?:{'|'.join(sorted(map(re.escape, words), reverse=True))})"


def _titles(words: str) -> str:
    return f"(?:{'|'.join(f'{word[0]}(?i:{word[1:]})' for word in words.split())})"


RULES = {
    "can|not": r"(?i:(can)not|(gim|lem)me|(gon|wan)na|(got)ta)",
    "do|n't": rf"([A-Za-z]*?[A-MO-Za-mo-z])(?i:n{TICK}t)|(?i:n{TICK}t)",
    "dog|'s": rf"({WORD})(?i:{QUOTE}(?:s|m|d|ll|re|ve))",
    "n'tn": rf"(?i:n{TICK}t){LETTER}+",
    "'s": r"('(?i:s|m|d|ll|re|ve))[^A-Za-z]|(?i:(?:’|\x92|&apos;)(?:s|m|d|ll|re|ve))",
    "'em": rf"(?i:{QUOTE}(?:n{QUOTE}?|em|till?|cause|[0-9]0s)|({QUOTE}[0-9]{{2}})\s)",
    "'t|is": r"(?i:('t)(?:is|was))",
    "'|ab": r"(')[A-Za-z][^ \t\r\n\xa0]",
    "ol'": rf"(?i:(?:ol|[djl]){QUOTE}|(y{QUOTE}){LETTER})",
    "o'clock": rf"[A-HJ-XZdlno]{TICK}{LETTER}{{2,}}",
    "e'er": rf"(?i:e'er|o'o|c'mon|nor'easter|s'mores|c{QUOTE}est)",
    "Pe'e": rf"{LETTER}+[AEIOUYaeiouy]{TICK}[aeiouA-Z]{LETTER}*",
    "dog@toys.com": (
        rf"(?:<|&lt;)?[A-Za-z0-9](?:{HOST}|\.){{,63}}?@(?:{HOST}{{1,63}}\.){{,9}}{HOST}{{1,63}}"
        r"(?:>|&gt;)?"
    ),
    "http://toys.com": rf"(?i:https?)://{LINK}+{LAST}",
    "www.toys.com": SITE,
    "www.toys.com/dog": rf"{SITE}/{LINK}+{LAST}",
    "t~y.com": NAME,
    "toys.com/dog": rf"{NAME}/{LINK}+{LAST}",
    "<a b>": (
        r"<[!?][A-Za-z-][^>\r\n]{,255}>"
        rf"|</?{TAG}(?: +{TAG}(?:=\"[^\"]{{,255}}\"|='[^']{{,255}}')?){{,9}} *(?:/ *)?>"
    ),
    "dog.The": WORD,
    "etc.": rf"((?:(?i:{_any_of(ENDINGS.split())})|{_titles(PLACES)})\.)(?s:..)",
    "St.": rf"(?i:{_any_of(ABBREVIATIONS.split())})\.",
    "no. 1": rf"((?i:{_any_of(COUNTERS.split())})\.)\s?\d",
    "U.S.": (
        r"(?:[A-Za-z0-9]+(?:[.,][A-Za-z0-9]*){,9}-(?:[A-Za-z0-9]+-){,9})?"
        r"[A-Za-z](?:\.[A-Za-z])+\.(?:-[A-Za-z0-9]+)*"
    ),
    "B.": rf"[A-Za-z]\.(?!\s+(?:{_titles(OPENINGS)}|</?[A-Za-z!?][^<>]*>)\s)",
    "t-shirt": THING,
    "anti-": r"(?i:anti|pro)-",
    "dog.|,": rf"((?:{WORD}|{THING}|{MILE}|{FIRM})\.)[,;:、]",
    "1.5-mile": MILE,
    "red/blue": r"[A-Za-z0-9]+(?:-[A-Za-z]+){,2}(?:\\?/[A-Za-z0-9]+(?:-[A-Za-z]+){,2}){1,2}",
    "AT&T": FIRM,
    "2.jpg": (
        rf"(?:(?:\d|{LETTER})+\.){{1,9}}(?i:{_any_of(FILES.split())})"
        r"(?=[\s.,!?])"
    ),
    "US$": r"[A-Z]+\$|[CcFf]#|[Cc]\+\+",
    "1:30": r"[-+]?(?:[\d\xad]+(?:[.,:٫٬]\d+)*|(?:[.,:٫٬]\d+)+)",
    "1/2": r"(?:\d{1,4}[- \xa0])?\d{1,4}(?:\\?/|⁄)\d{1,4}",
    "(415) 555-1234": (
        r"(?:\+?[0-9]{2,4}[- \xa0])?(?:\([0-9]{2,3}\)[ \xa0]?|\+?[0-9]{2,4}[- \xa0])"
        r"[0-9]{3,4}[- \xa0]?[0-9]{3,5}"
    ),
    "12/31-99": r"[0-9]{1,2}[-/][0-9]{1,2}[-/][0-9]{2,4}",
    "#dog": rf"#{LETTERS}+|@[A-Za-z_][A-Za-z0-9_]*",
    ":-)": r"[<>]?[:;=][-o*']?[()DPdpO\\{@|\[\]](?![A-Za-z0-9])",
    "^_^": r"[<>=^x-]_[<>=^x-]|\([<>=~^x-][_.-]?[<>=~^x-]\)|(?i:-[lr][rcs]b-)",
    "&#39;": r"&\#\d+;|(?i:&(?:amp|lt|gt|nbsp|[mn]dash|quot|apos);)",
    "„‚": r"[`‘’“”«»‹›„‚‛‟\x91-\x94]{1,2}",
    "x|²": r"[⁺⁻]?[²³¹⁰⁴-⁹]+|[₊₋]?[₀-₉]+",
    "?!": r"\.{3,5}|\. \. \.(?: \.){,2}|-{2,}|''|``|<<|>>|[?!]{2,}|\*{2,}|\#{2,}|@{2,}|_+",
    "&": f"[{SIGNS}]",
}
"""An example of each kind of word, and its pattern. The longest match wins, the first of equal
ones. If the pattern has a group, the group is the word and the rest is context."""
DOGS = re.compile(r"(?:[A-Za-z]+[ ,]+)*(?:[A-Za-z]{2,})? *\.? *")
"""Captions of plain words, as nearly all are, which need no rules."""
SPLIT = frozenset(["cannot", "gimme", "lemme", "gonna", "gotta", "wanna"])
STOPPED = frozenset([*ABBREVIATIONS.split(), *ENDINGS.split(), *PLACES.lower().split()])
UNSURE = SPLIT | STOPPED
QUOTED = re.compile(rf"(?i:n{TICK}t|{QUOTE}(?:s|m|d|ll|re|ve))|[`‘’“”«»‹›„‚‛‟\x91-\x94]+")
"""Words in which quotation marks are replaced; in all others they are kept."""
CLITIC = re.compile(r" (?=(?:n't|'(?:s|m|d|ll|re|ve))(?: |$))")


@cache
def _rules() -> tuple[re.Pattern[str], list[re.Pattern[str]]]:
    """A pattern for words, unless in `UNSURE`, that no rule would match differently; and the rules.

    They are compiled on first use, since most captions need neither.
    """
    dog = re.compile(
        rf"(?:[A-Za-z]+(?:-[A-Za-z]+)*|(?:{LETTER}|[{MARKS}])+)(?=,?[ \n]|'s )"
        r"|[A-Za-z]{2,}(?=\. *\n)|\.(?= *\n)|'s(?= )|,(?= )"
    )
    return dog, [re.compile(rule) for rule in RULES.values()]


def split_words(text: str) -> list[str]:
    """The words of a caption: `split_words("A dog's toy.")  # ['a', 'dog', "'s", 'toy']`."""
    if DOGS.fullmatch(text):
        words = text.lower().replace(",", " ").replace(".", " ").split()
        if SPLIT.isdisjoint(words) and not ("." in text and STOPPED.intersection(words[-1:])):
            return words
    return [word for word in " ".join(_words(text)).split() if word not in DROPPED]


def _words(text: str) -> Iterator[str]:
    (first, rules), end = _rules(), len(text)
    text = text.replace("\n", " ") + "\n\n"
    at = 0
    while at < end:
        if text[at] == " ":
            at += 1
        elif (dog := first.match(text, at)) and dog[0].lower() not in UNSURE:
            yield dog[0].lower()
            at = dog.end()
        elif found := [match for rule in rules if (match := rule.match(text, at))]:
            longest = max(found, key=lambda match: match.end())
            group = longest.lastindex or 0
            yield _spelt(longest[group])
            at = longest.end(group)
        else:
            at += 1


def _spelt(word: str) -> str:
    if "@" not in word and "/" not in word:
        word = word.replace("\xad", "")
    if QUOTED.fullmatch(word) or len(word) <= 1:
        word = word.replace("&apos;", "'").translate(RESPELT)
    elif word[0] in ".-" and word.strip(".- ") == "":
        word = word if len(word) > 4 and word[0] == "-" else word[:1]
    elif word in ("&quot;", "&apos;"):
        word = "'"
    elif "&" in word and re.fullmatch(FIRM, word):
        word = word.lower().replace("&amp;", "&")
    elif word[-1] != ">":
        word = word.replace("(", "-lrb-").replace(")", "-rrb-")
    return SPELT.get(word.lower(), word.lower())


def join_words(words: Iterable[str]) -> str:
    """The caption that people read: `join_words(["a", "dog", "'s", "toy"])  # "a dog's toy"`."""
    return CLITIC.sub("", " ".join(words))


def mend_articles(words: Sequence[str]) -> tuple[str, ...]:
    """English words with `an` for an `a` before a vowel: `an orange bus`.

    An `an` stays: before a digit or letters that are spelt out (`an suv`) it may be right.
    """
    return tuple(
        article_of(after) if word == "a" and after else word
        for word, after in zip_longest(words, words[1:], fillvalue="")
    )


def article_of(word: str) -> str:
    """`a` or `an`, by the letters that the word begins with."""
    vowel = word[0] in "aeiou" and not word.startswith(LIKE_YOU)
    return "an" if vowel or word.startswith(UNLIKE_YOU + SILENT) else "a"
