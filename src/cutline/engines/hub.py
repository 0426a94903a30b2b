"""Models by name: a folder on this machine, or a repository of the Hugging Face hub.

The hub's own client downloads, caches, pins revisions and works offline (`HF_HUB_OFFLINE=1`); its
token (`hf auth login`) is needed for gated models only.
"""

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from cutline.errors import CutlineError, ModelError

LIBRARY = "cutline"
"""The `model_type` in the config of our models."""
_NAME = re.compile(r"(?P<name>[\w.-]+(/[\w.-]+)?)(@(?P<revision>[\w./-]+))?")


@dataclass(frozen=True, slots=True)
class Repository:
    """The files of a model, wherever they are."""

    name: str
    """The folder, or OWNER/NAME."""
    revision: str | None = None
    folder: Path | None = None
    """Where it is, if it is on this machine."""

    @classmethod
    def of(cls, name: str) -> "Repository":
        """The repository with this name. Raises `ModelError` for what cannot be one."""
        folder = Path(name).expanduser()
        if name and folder.is_dir():
            return cls(name, folder=folder)
        found = _NAME.fullmatch(name)
        if folder.exists() or not found or name.startswith((".", "/", "~")):
            raise ModelError(f"{name!r} is neither a folder nor a name such as owner/name@revision")
        return cls(found["name"], found["revision"])

    def find(self, file: str) -> Path | None:
        """The path of a file, downloaded if need be; None if the repository does not have it.

        Raises `ModelError` if there is no such repository, or it cannot be reached or read.
        """
        if self.folder:
            path = self.folder / file
            return path if path.is_file() else None
        with needs("huggingface_hub", "hub"):
            from huggingface_hub import hf_hub_download
            from huggingface_hub.errors import LocalEntryNotFoundError, RemoteEntryNotFoundError
            from huggingface_hub.utils import logging
        logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # its errors are raised, too
        with as_model_error(self.name):
            try:
                return Path(hf_hub_download(self.name, file, revision=self.revision))
            except RemoteEntryNotFoundError:
                return None
            except LocalEntryNotFoundError:
                if _is_known_missing(self, file):
                    return None
                raise

    def read_table(self, file: str) -> dict[str, Any]:
        """A JSON object; empty if there is no such file. Raises `ModelError` for anything else."""
        path = self.find(file)
        if path is None:
            return {}
        try:
            table = json.loads(path.read_text(encoding="utf8"))
        except (OSError, ValueError, RecursionError):
            table = None
        if not isinstance(table, dict):
            raise ModelError(f"{self.name}: {file} is no JSON object")
        return table


def _is_known_missing(repository: Repository, file: str) -> bool:
    """Whether the client noted, when it was last online, that there is no such file."""
    from huggingface_hub import _CACHED_NO_EXIST, try_to_load_from_cache

    known = try_to_load_from_cache(repository.name, file, revision=repository.revision)
    return known is _CACHED_NO_EXIST


def digest_files(folder: Path) -> str:
    """A digest of the files of a model."""
    kinds = (".json", ".onnx", ".safetensors", ".bin", ".txt", ".model")
    files = sorted(path for path in folder.iterdir() if path.suffix in kinds)
    return digest(files)


def digest(files: Iterable[Path]) -> str:
    """A digest of the contents of some files."""
    found = sha256()
    for file in files:
        with file.open("rb") as content:
            while block := content.read(2**20):
                found.update(block)
    return found.hexdigest()


@contextmanager
def needs(package: str, extra: str) -> Iterator[None]:
    """Turn a missing package into a `CutlineError` that says how to install it."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or package).partition(".")[0]
        raise CutlineError(f"this model needs {missing}: pip install 'cutline[{extra}]'") from None


@contextmanager
def as_model_error(name: str) -> Iterator[None]:
    """Turn the errors of the hub's client into a sentence about the model."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError:
        why = "is gated: accept its terms on huggingface.co, then run `hf auth login`"
    except errors.RevisionNotFoundError:
        why = "has no such revision on the hub"
    except errors.RepositoryNotFoundError:
        why = "is not on the hub, or is private: check the name, or run `hf auth login`"
    except errors.LocalEntryNotFoundError:
        why = "is not in the cache of the hub, and the hub cannot be reached"
    except errors.HFValidationError:
        why = "is no name of a repository such as owner/name"
    except (errors.HfHubHTTPError, OSError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        why = f"cannot be read: {lines[0][:200]}"
    else:
        return
    raise ModelError(f"{name} {why}") from None
