"""Words without meaning that look like words: what fills pages, labels and legends."""

from random import Random

STARTS = (*"bcdfghlmnprstvw", "st", "tr", "pl", "ch", "sh", "br", "gr", "k", "qu")
VOWELS = (*"aeiou", "ea", "ou", "ai", "ee", "io")
ENDS = ["", "", "n", "r", "s", "t", "l", "nd", "st", "ng", "ck", "m", "rs"]
SHORT = ("the", "of", "and", "to", "in", "is", "it", "for", "on", "with", "as", "by", "at", "a")
SHORT += ("an", "or", "not", "be", "this", "that", "from", "are", "was")
SCRIPTS = ((0x0391, 0x03C9), (0x0430, 0x044F), (0x05D0, 0x05EA), (0x0627, 0x064A))
SCRIPTS += ((0x4E00, 0x6FFF), (0x3042, 0x3093), (0xAC00, 0xB3FF))


def word(random: Random) -> str:
    if random.random() < 0.35:
        return random.choice(SHORT)
    parts = random.choices([1, 2, 3, 4], [3, 6, 4, 1])[0]
    syllables = (random.choice(STARTS) + random.choice(VOWELS) for _ in range(parts))
    return "".join(syllables) + random.choice(ENDS)


def words(random: Random, number: int) -> str:
    return " ".join(word(random) for _ in range(number))


def title(random: Random) -> str:
    return words(random, random.randint(1, 6)).capitalize()


def sentence(random: Random) -> str:
    return words(random, random.randint(4, 18)).capitalize() + random.choice("....?!")


def text(random: Random, sentences: int) -> str:
    return " ".join(sentence(random) for _ in range(sentences))


def number(random: Random) -> str:
    return f"{random.choice([1, 10, 1000, 100000]) * random.random():,.{random.choice([0, 2])}f}"


def foreign(random: Random, letters: int) -> str:
    """Letters of another script, in words."""
    first, last = random.choice(SCRIPTS)
    return "".join(
        " " if random.random() < 0.15 else chr(random.randint(first, last)) for _ in range(letters)
    )
