"""Writes the folder for a static host: page, module, model, runtime, and a list of all files.

Model and runtime are split into gzipped parts named by their content, so that an interrupted
download resumes, hosts with a file size limit accept them, and a new version of the page downloads
only the parts that changed.
"""

import gzip
import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import numpy as np

from cutline.errors import CutlineError, DataError, ModelError
from cutline.inference.captioner import Captioner
from cutline.io.atomic import atomic_write
from cutline.webapp.description import describe
from cutline.webapp.runtime import Runtime

PART = 4 * 2**20
"""Bytes of a part before compression."""
DESCRIPTION, LIST = "captioner.json", "files.js"
_LIST_HEAD, _LIST_TAIL = "self.SITE = ", ";\n"


def write_site(
    out: Path, captioner: Captioner, runtime: Runtime, *, overwrite: bool = False
) -> dict[str, int]:
    """Write or update the folder; return the size of each file in bytes.

    Other files in it stay. Unless `overwrite`, raises `DataError` for a folder of other origin or
    with edited files; raises `ModelError` for a model that is not an ONNX file.
    """
    content = _content_of(captioner, runtime)
    before = _read_list(out)
    if not overwrite:
        _require_own(out, before, content)
    try:
        for name, body in content.items():
            target = out / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(target, fsync=False) as file:
                file.write(body)
        for name in before.keys() - content.keys():
            if _digest_of(out / name) == before[name]:
                (out / name).unlink()
    except OSError as error:
        raise CutlineError(f"{out} cannot be written: {error.strerror or error}") from None
    return {name: len(body) for name, body in content.items()}


def _content_of(captioner: Captioner, runtime: Runtime) -> dict[str, bytes]:
    """Every file by its path; the list and the page come last, after all that they refer to."""
    engine, file = captioner.engine, captioner.engine.abilities.file
    if file is None:
        raise ModelError("browsers run one-file models: run `cutline export` on the folder first")
    captioner.caption(np.zeros((engine.view.size, engine.view.size, 3), np.uint8))  # may raise
    parts: dict[str, bytes] = {}
    description = describe(captioner)
    description["files"] = {
        "model": _cut(file.read_bytes(), parts),
        "runtime": _cut(runtime.binary, parts),
    }
    description["runtime"] = runtime.version
    small = dict(_assets(files("cutline.webapp") / "assets"))
    page = small.pop("index.html")
    small["runtime/ort.mjs"] = runtime.script
    small |= {f"runtime/{name}": body for name, body in runtime.licences.items()}
    small[DESCRIPTION] = json.dumps(description, ensure_ascii=False).encode()
    content = {**parts, **small}
    listed = {
        name: sha256(body).hexdigest() for name, body in {**content, "index.html": page}.items()
    }
    version = sha256(json.dumps(listed).encode()).hexdigest()[:16]
    site = json.dumps({"version": version, "files": listed}, indent=1)
    content[LIST] = f"{_LIST_HEAD}{site}{_LIST_TAIL}".encode()
    return {**content, "index.html": page}


def _cut(body: bytes, parts: dict[str, bytes]) -> dict[str, Any]:
    """Add the gzipped parts of a file to `parts`, and describe them; `sent`: compressed size."""
    described = []
    for start in range(0, len(body), PART):
        piece = body[start : start + PART]
        sha = sha256(piece).hexdigest()
        name = f"parts/{sha[:16]}.bin"
        parts[name] = gzip.compress(piece, compresslevel=9, mtime=0)
        described.append(
            {"name": name, "sha256": sha, "size": len(piece), "sent": len(parts[name])}
        )
    return {"size": len(body), "parts": described}


def _assets(folder: Traversable, above: str = "") -> Iterator[tuple[str, bytes]]:
    for entry in sorted(folder.iterdir(), key=lambda each: each.name):
        if entry.is_dir():
            yield from _assets(entry, f"{above}{entry.name}/")
        else:
            yield f"{above}{entry.name}", entry.read_bytes()


def _read_list(out: Path) -> Mapping[str, str]:
    """The files written before, with SHA-256; empty without a readable list."""
    try:
        text = (out / LIST).read_text(encoding="utf8")
        listed = json.loads(text.removeprefix(_LIST_HEAD).removesuffix(_LIST_TAIL))["files"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    inside = isinstance(listed, dict) and all(map(_is_inside, listed))
    return listed if inside else {}


def _is_inside(name: str) -> bool:
    path = Path(name)
    return not path.is_absolute() and ".." not in path.parts


def _require_own(out: Path, before: Mapping[str, str], content: Mapping[str, bytes]) -> None:
    """Raises `DataError` if a file would be replaced that is not as cutline wrote it."""
    if not before and out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise DataError(
            f"{out} exists and was not written by `cutline web`: name a new folder, or use "
            "--overwrite"
        )
    for name in content if before else ():
        found = _digest_of(out / name)
        if name != LIST and found and found != before.get(name):
            raise DataError(
                f"{out / name} is not as cutline wrote it: keep it under another name, or use "
                "--overwrite"
            )


def _digest_of(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
