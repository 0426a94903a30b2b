"""`vocab.pkl` of the classic image captioning project, read without executing it.

A pickle is a program. This reader knows no function and no class but an empty one that stands for
`Vocabulary`, so the program can build dictionaries, lists, numbers and texts, and nothing runs.
"""

import io
import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cutline.errors import ModelError

LARGEST = 100 * 10**6
"""Bytes; a vocabulary of a million words has a third of that."""


def read_vocabulary(path: Path) -> list[str]:
    """The words of a `vocab.pkl`, each at the place of its number.

    The file holds an object, or a dictionary, with `word2idx` and perhaps `idx2word`. Raises
    `ModelError` when it holds anything else.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise ModelError(f"{path} is too large for a vocabulary")
        held = _Reader(io.BytesIO(path.read_bytes()), path).load()
    except FileNotFoundError:
        raise ModelError(f"there is no vocabulary {path}") from None
    except ModelError:
        raise
    except KeyError as error:
        raise ModelError(
            f"{path} is not a pickled vocabulary: none has the instruction {error}"
        ) from None
    except Exception as error:  # a damaged pickle raises nearly anything
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ModelError(f"{path} is not a pickled vocabulary: {reason}") from None
    ids = (held if isinstance(held, Mapping) else getattr(held, "__dict__", {})).get("word2idx")
    if not isinstance(ids, Mapping) or not all(_is_entry(*entry) for entry in ids.items()):
        raise ModelError(f"{path} holds no dictionary `word2idx` of words and numbers")
    if sorted(ids.values()) != list(range(len(ids))):
        raise ModelError(f"{path}: the {len(ids)} words are not numbered from 0 without a gap")
    return sorted(ids, key=lambda word: ids[word])


def _is_entry(word: object, number: object) -> bool:
    return isinstance(word, str) and type(number) is int


class _Reader(pickle._Unpickler):
    """Builds plain containers; whatever else a pickle names is refused.

    It is the one in Python: for what a pickle numbers, the one in C makes a table as long as the
    largest number, and for what a pickle measures, room before it looks whether that much is there.
    """

    dispatch = {
        code: load
        for code, load in pickle._Unpickler.dispatch.items()
        if code != pickle.BYTEARRAY8[0]  # makes such room, too
    }

    def __init__(self, file: io.BytesIO, path: Path) -> None:
        super().__init__(file, encoding="utf-8")
        self._path = path
        self._stand_in = type("Vocabulary", (), {})

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        """What a name in the pickle may mean."""
        if name == "Vocabulary":
            return self._stand_in
        if (module, name) in (("copyreg", "_reconstructor"), ("copy_reg", "_reconstructor")):
            return self._rebuild
        if (module, name) in (("builtins", "object"), ("__builtin__", "object")):
            return object
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        named = f"{module}.{name}"[:80]
        raise ModelError(
            f"{self._path} names {named!r}, which a vocabulary does not need: nothing of it was run"
        )

    def _rebuild(self, kind: type, *_: object) -> object:
        """How old pickles make an object, for our stand-in only."""
        if kind is not self._stand_in:
            raise ModelError(f"{self._path} makes other objects than a vocabulary")
        return kind()
