"""Reads the `vocab.pkl` of the classic image captioning project without executing its code.

A pickle is a program. This reader knows no functions, and no class but an empty stand-in for
`Vocabulary`, so a pickle can build dictionaries, lists, numbers and strings but run nothing.
"""

import io
import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cutline.errors import ModelError

LARGEST = 100 * 10**6
"""Bytes; three times the size of a vocabulary of a million words."""


def read_vocabulary(path: Path) -> list[str]:
    """The words of a `vocab.pkl`, in the order of their ids.

    The file must hold an object or a dictionary with `word2idx`. Raises `ModelError` otherwise.
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
            f"{path} is not a pickled vocabulary: there is no instruction {error}"
        ) from None
    except Exception as error:  # a damaged pickle raises almost anything
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
    """Builds plain containers and refuses everything else that a pickle names.

    It extends the unpickler written in Python. The one in C allocates a memo table as long as the
    largest index in the pickle, and buffers of declared sizes before it checks that the data is
    there.
    """

    dispatch = {
        code: load
        for code, load in pickle._Unpickler.dispatch.items()
        if code != pickle.BYTEARRAY8[0]  # allocates a declared size, too
    }

    def __init__(self, file: io.BytesIO, path: Path) -> None:
        super().__init__(file, encoding="utf-8")
        self._path = path
        self._stand_in = type("Vocabulary", (), {})

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        """Resolve the few names that a pickled vocabulary needs."""
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
            f"{self._path} names {named!r}, which a vocabulary does not need; nothing was executed"
        )

    def _rebuild(self, kind: type, *_: object) -> object:
        """How old pickles create objects; only for the stand-in."""
        if kind is not self._stand_in:
            raise ModelError(f"{self._path} creates objects other than a vocabulary")
        return kind()
