"""Captions that try to trip the splitting into words, made up from a seed."""

import random
from collections.abc import Callable, Iterator

CAPTIONS = """
A dog runs through the grass with a ball in its mouth.
Two men in red shirts are talking on a street corner
A little girl's dress is covered in mud .
The man doesn't know that his dog can't swim.
A black-and-white photo of a well-dressed woman, smiling at the camera
There are three people; one of them is sitting down.
An old man with a T-shirt and blue jeans sells fruit at the market
Children play soccer on a field while their parents watch.
a cat sleeping on top of a laptop computer
A snowboarder is mid-air over a large jump!
Is this a man riding a horse on the beach?
A woman holds up a sign that says stop
People are waiting for the train, which is late.
A boy, who is wearing a helmet, jumps his bike off a ramp.
The skier's poles are stuck in the snow
THE FOOTBALL PLAYER IN WHITE IS RUNNING WITH THE BALL
A brown dog and a white dog are fighting over a toy.
Several young women dance at an outdoor concert at night
A baby is eating cake with both hands.
Someone's kitchen has a stove, a sink and a refrigerator
He is wearing a hat. She is not.
A group of tourists take pictures of St Paul's from the bridge.
A plate of food: rice, beans and some kind of meat
A rock climber hangs from a cliff -- without a rope.
The crowd is cheering as the Lakers score
A truck is parked next to a no parking sign
Two giraffes standing next to each other in a zoo.
It's raining and they're all carrying umbrellas
A man (maybe a chef) is cutting vegetables.
A bathroom with a toilet, a tub and a mirror
The bride and groom cut their wedding cake
A person in a yellow kayak paddles down a river.
Kids at a birthday party are hitting a pinata
A pizza with olives, peppers and onions on it.
A police officer on a motorcycle stops at the light.
An airplane flying low over a beach full of people
Many boats are docked in the harbor near the town.
A teddy bear sits in a child's lap
A clock tower against a cloudy sky
Three dogs pull a sled. The driver is cold.
I think you'll see a bird on the fence
""".strip().split("\n")
"""Captions as people write them."""


def _one_of(pieces: str) -> Callable[[random.Random], str]:
    words = pieces.split()
    return lambda chance: chance.choice(words)


def _number(chance: random.Random) -> str:
    digits = [str(chance.randrange(10 ** chance.randint(1, 4))) for _ in range(4)]
    number = digits[0]
    for more in digits[1 : chance.randint(1, 4)]:
        number += chance.choice([".", ",", ":", "-", "/", "x", ".", ","]) + more
    before = chance.choice(["", "", "", "-", "+", ".", "#", "No. ", "no.", "~"])
    after = chance.choice(
        ["", "", "", "%", "th", "s", "'s", "pm", "k", "mm", "am.", "-inch", "in."]
    )
    return before + number + after


def _money(chance: random.Random) -> str:
    sign = _one_of("$ $ £ € ¥ ¢ ₹ ₪ ₩ ₣ ¤ ₽ US$ A$ C$ HK$ NT$ USD EUR Rs. ฿")(chance)
    amount = chance.choice(["5", "20", "9.99", "1,000", "3.5m", ".50", "10k", "1.000,00"])
    gap = chance.choice(["", "", "", " "])
    return chance.choice([sign + gap + amount, sign + gap + amount, amount + gap + sign, sign])


def _quoted(chance: random.Random) -> str:
    opening = _one_of("\" ' ` `` '' “ ‘ ” ’ « » ‹ › „ ‚ ‛ ‟ ″ ′ ´ 「 \\\" &quot;")(chance)
    closing = _one_of("\" ' '' ” ’ » › “ ‘ ″ ′ ´ 」 &quot;")(chance)
    word = chance.choice(
        ["stop", "Hello", "no way", "the end.", "Don't", "it", "90s", "em", "a", ""]
    )
    return chance.choice([opening + word + closing, opening + word, word + closing, opening])


def _contraction(chance: random.Random) -> str:
    words = _one_of("""
        don't can't won't isn't DON'T Can't cannot gonna wanna gotta gimme lemme dunno y'all ma'am
        o'clock rock'n'roll 'n' 'em 'til 'cause 'tis 'twas '90s 80's I'm we've they'd he'll James'
        dogs' ol' o' d'oeuvres l'eau O'Brien d'Angelo D'Angelo ain't mightn't ne'er 'bout 'round
        let's who's it's its' fo'c'sle jack-o'-lantern must've should've'd 'Twas c'mon whaddya
        'Till 'N 'S 'd n't N'T s' 's 'll Qur'an Hawai'i finna shoulda dont
    """)
    return words(chance).replace("'", chance.choice("''''’’‘´`"))


def _telephone(chance: random.Random) -> str:
    area, middle, last = (chance.randrange(10 ** (n - 1), 10**n) for n in (3, 3, 4))
    gap = chance.choice([" ", "-", ".", "", "\u00a0"])
    forms = [f"({area}) {middle}-{last}", f"({area}){gap}{middle}{gap}{last}"]
    forms += [f"{area}{gap}{middle}{gap}{last}", f"{middle}{gap}{last}", f"({area})"]
    forms += [f"+1{gap}{area}{gap}{middle}{gap}{last}", f"1-{area}-{middle}-{last}", f"+{area}"]
    return chance.choice(forms)


def _fraction(chance: random.Random) -> str:
    parts = [str(chance.randrange(1, 10 ** chance.randint(1, 2))) for _ in range(3)]
    stroke = chance.choice(["/", "/", "/", "⁄", "\\/", " / ", "-"])
    number = stroke.join(parts[: chance.choice([2, 2, 3])])
    before = chance.choice(["", "", "", "1 ", "2-", "3", "w/"])
    after = chance.choice(["", "", "in", "th", '"', " cup", "s", "-mile", "'", "."])
    return chance.choice([before + number + after, before + chance.choice("½¼¾⅓⅔⅛⅜⅝⅞") + after])


def _address(chance: random.Random) -> str:
    start = chance.choice(["http://", "https://", "www.", "", "", "HTTP://", "ftp://", "//"])
    host = _one_of("a dogs.com www.dogs.org example.co.uk toys.net bit.ly x.edu a.b.c")(chance)
    tail = _one_of("/ /a /dog.jpg ?q=1 /a/b?c=d&e=f#g :80 /~me/ . , .) /x_y-z.html")(chance)
    return start + host + chance.choice(["", "", tail])


def _email(chance: random.Random) -> str:
    user = _one_of("me dog.cat a+b x_y Bob-1 @me @home_town #dog #1 #a_b #2day dog# @")(chance)
    host = chance.choice(["@dogs.com", "@x", "@a-b.co.uk", "@toys.com.", "", "", ""])
    return user + host


def _face(chance: random.Random) -> str:
    faces = _one_of("""
        :) :-) :( ;) ;-) :D :-P :P =) =( =D 8) :'( :-/ :/ :| :O <3 ^_^ -_- o_O (: XD >:( :-] :} \\o/
        (^_^) :-)) ;-D :p :3 B-) :* (Y) </3 :-( ;-( =-) (= :]
    """)
    return faces(chance)


def _bracket(chance: random.Random) -> str:
    word = chance.choice(["sic", "a dog", "left", "1", "s", "", "the end.", "-LRB-", "e.g. this"])
    left, right = chance.choice(["()", "[]", "{}", "（）", "【】", "(]", "⟨⟩"])
    return chance.choice([left + word + right, left + word, word + right, left, right])


def _angles(chance: random.Random) -> str:
    pieces = _one_of("""
        a<b a>b <b> </b> <br> <br/> <a <- -> --> <-- => <= << >> <3 1<2 3>2 <p> <!-- --> <I> < >
        <dog> </i <a> <unk> <img> <- <A.b> <1> <?x?> <UNK> x<y>z >_< <> <b <start> <@me>
    """)
    longer = ["<a href='x'>", '<img src="a.jpg">', "<a b c>", "a < b > c", "<!-- no -->", "< b>"]
    return chance.choice([pieces(chance)] * 7 + longer)


def _entity(chance: random.Random) -> str:
    names = _one_of("""
        amp lt gt quot apos nbsp hellip mdash ndash lsquo rsquo ldquo rdquo eacute copy reg cent
        pound euro frac12 deg #39 #34 #8217 #x27 #233 trade bull AMP Quot times middot laquo
    """)
    entity = f"&{names(chance)}{chance.choice([';', ';', ';', ';', ''])}"
    return chance.choice([entity, entity, entity, "B&B", "&", "&amp;amp;", "R&D", "a&b", "A&W's"])


KINDS: dict[str, Callable[[random.Random], str]] = {
    "abbreviation": _one_of("""
        Mr. Mrs. Dr. St. Ave. Jr. Sr. Inc. Co. Ltd. Corp. U.S. U.S.A. U.K. D.C. e.g. i.e. etc. a.m.
        p.m. A.M. vs. approx. No. no. Nos. fig. Jan. Feb. Sept. Mon. Tues. Sat. Sun. Prof. Gen. Sgt.
        Lt. Rev. Hon. Ph.D. M.D. B.A. J.R.R. L.A. N.Y. Calif. Fla. Mass. Ill. Wash. Tex. Ore. Pa.
        Va. Ont. Bros. Dept. Univ. Assn. Mt. Ft. ft. in. oz. lb. lbs. sq. cm. mm. km. pp. p. vol.
        ed. eds. al. cf. ca. Esq. est. Est. Blvd. Rd. Ln. Hwy. Bldg. Apt. apt. min. max. misc. temp.
        tel. Tel. w/ w/o b/c c/o R.I.P. D.J. DJ. t.v. T.V. B.C. A.D. E.T. U.N. U.S.-made P.S. q.v.
        Mme. Mlle. Messrs. M. Sen. Rep. Gov. Pres. Capt. Col. Maj. Cpl. Pvt. Adm. Cmdr. Pfc. Wm.
        Jos. Alex. Op. op. Art. art. Eq. eq. Ch. ch. Sec. sec. Vol. viz. ext. dist. Dist. Mfg. Intl.
    """),
    "initial": lambda chance: (
        chance.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZabxz")
        + chance.choice([".", ". ", ".", ".,", ".-"])
        + chance.choice(["", "The", "A", "In", "He", "Smith", "Brown", "dog", "B.", "You", "Is"])
    ),
    "number": _number,
    "money": _money,
    "quote": _quoted,
    "ellipsis": _one_of("... … .. .... . .. ..... …… ...! ?.. …. ....... ·· ‥ ⋯ .…. ,,, ..,"),
    "address": _address,
    "hyphen": _one_of("""
        - -- --- ---- – — ― ‐ ‑ ‒ − a- -a t-shirt T‑shirt black‐white well–known day—night
        x-y-z mid- -ish u-turn co-op 3-D 3D 2-year-old 10-12 1990–95 - _ __ ___ a_b ~ -_- one--two
        multi-coloured -- \u00ad so\u00adft anti-U.S. pre-2000 -1 --x A-1 ＿ ― e-mail non-English
    """),
    "emoji": _one_of("🐶 🙂 😀😀 ❤️ ❤ 👍🏽 👨‍👩‍👧 🇺🇸 ☃ ☀️ ✓ ✔️ ★ ♥ 1️⃣ ⚽ 🏳️‍🌈 ☺ © ™ ® 🤷‍♀️ ♂ → ✂︎ 🎉🎉🎉"),
    "line sign": lambda chance: chance.choice("\u2028\u2029\u0085\u2028\u000b\u000c\r\u2028"),
    "control": lambda chance: chance.choice(
        "\x00\x01\x02\x07\x08\x1b\x1c\x1d\x1e\x1f\x7f\x80\x84\x92\x93\x96\x9f\ufeff\u200b\u200d\u200e\u2060"
        "\ufffd\u00ad\ue000\ufffe\t"
    ),
    "new line": lambda chance: chance.choice(["\n", "\n", "\n\n", " \n", "\n ", "\r\n"]),
    "raised": _one_of(
        "x² H₂O m³ 10² ¹ CO₂ km² E=mc² 1ˢᵗ ªº nº 2ª ⁿ x⁻¹ ①② № ℃ ﬁsh Ⅳ ㎏ ° 90° 20°C µm"
    ),
    "telephone": _telephone,
    "fraction": _fraction,
    "contraction": _contraction,
    "mail or tag": _email,
    "face": _face,
    "bracket": _bracket,
    "angle": _angles,
    "entity": _entity,
    "stop": _one_of(r"""
        ! ? !! ?! ??? !!!1 , ; : ,, ;; :: . ! .) ." '" ," ?" / \ // | || * ** *** + = % ^
        ~~ @ # $ & ¡ ¿ § ¶ † • · ¬ ± × ÷ 、 。 ！ ？ ， ؟ ، ।
    """),
    "script": _one_of("""
        café naïve señor Ångström Zürich façade cafe\u0301 e\u0301te\u0301 собака Москва.
        犬 狗狗 犬が走る 개가 كلب طفلةً हिन्दी कुत्ता ภาษาไทย שָׁלוֹם σκύλος ß ﬀ
        Ｆｕｌｌ ｗｉｄｅ １２３ ٣٤ ३४ İstanbul ǆ œuf
    """),
}
"""The kinds of hostile piece, each with the way to make one."""


def fuzz(seed: int, count: int) -> Iterator[str]:
    """Captions with one hostile piece, with several, and with hardly anything else, in turn."""
    chance = random.Random(seed)
    for number in range(count):
        words = chance.choice(CAPTIONS).split(" ")
        if number % 3 == 2:
            start = chance.randrange(len(words))
            words = words[start : start + chance.randint(1, 4)]
        for _ in range([1, chance.randint(2, 4), chance.randint(4, 10)][number % 3]):
            _put(KINDS[chance.choice(list(KINDS))](chance), words, chance)
        text = " ".join(words)
        yield _mangled(text, chance) if number % 3 == 2 else text


def _put(piece: str, words: list[str], chance: random.Random) -> None:
    at = chance.randrange(len(words))
    word = words[at]
    middle = chance.randrange(len(word) + 1)
    forms = [f"{word} {piece}", f"{piece} {word}", f"{word} {piece}", f"{piece} {word}"]
    forms += [word + piece, piece + word, word[:middle] + piece + word[middle:], piece]
    words[at] = chance.choice(forms)


def _mangled(text: str, chance: random.Random) -> str:
    for _ in range(chance.randrange(4)):
        at = chance.randrange(len(text) + 1)
        end = at + chance.randint(1, 8)
        change = chance.choice([str.upper, str.title, str.lower, _without_spaces, _twice])
        text = text[:at] + change(text[at:end]) + text[end:]
    return text


def _without_spaces(text: str) -> str:
    return text.replace(" ", "")


def _twice(text: str) -> str:
    return text + text
