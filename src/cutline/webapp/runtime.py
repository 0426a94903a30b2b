"""onnxruntime-web, which runs models in browsers: from a copy of its npm package, or downloaded.

cutline does not contain it (14 MB). A copy is what `npm pack onnxruntime-web` or `npm install`
leaves; a download is the pinned version, whose checksum npm publishes as its `integrity`.
"""

import json
import tarfile
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from cutline.datasets.download import DownloadProgress, RemoteFile, digest, fetch
from cutline.errors import DataError, FetchError

NAME, VERSION = "onnxruntime-web", "1.30.0"
INTEGRITY = (
    "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJm"
    "g8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
)
"""The integrity hash of that version's tarball, from npm."""
TARBALL = RemoteFile(
    f"{NAME}-{VERSION}.tgz",
    f"https://registry.npmjs.org/{NAME}/-/{NAME}-{VERSION}.tgz",
    size=33_106_585,
)
SCRIPT, BINARY = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
"""The files of the package that are used: the build for WebAssembly alone."""
MAX_BYTES = 100 * 10**6
"""Maximum size of a file of the package."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """The part of onnxruntime-web that a page needs."""

    version: str
    script: bytes
    binary: bytes

    @property
    def licences(self) -> dict[str, bytes]:
        """ONNX Runtime's own and those of its parts, by file name, from its Python package."""
        installed = files("onnxruntime")
        return {
            name: (installed / name).read_bytes() for name in ("LICENSE", "ThirdPartyNotices.txt")
        }


def read_runtime(path: Path) -> Runtime:
    """The runtime in a tarball of the npm package or in a folder. Raises `DataError`."""
    try:
        content = _read_folder(path) if path.is_dir() else _read_tarball(path)
    except (OSError, tarfile.TarError, EOFError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DataError(f"cannot read {path}: {reason}") from None
    except KeyError as missing:
        raise DataError(
            f"{path} is not the npm package {NAME}: it has no {missing.args[0]}"
        ) from None
    return Runtime(_version_of(content["package.json"], path), content[SCRIPT], content[BINARY])


def download_runtime(folder: Path) -> Iterator[DownloadProgress]:
    """Download the pinned tarball into a folder; resumes. Raises `FetchError`."""
    yield from fetch(TARBALL, folder)
    path = folder / TARBALL.name
    found = "sha512-" + b64encode(bytes.fromhex(digest(path, "sha512"))).decode()
    if found != INTEGRITY:
        raise FetchError(
            f"{path} has the checksum {found}, not {INTEGRITY}: delete it and try again"
        )


PLACES = {"package.json": "package.json", SCRIPT: f"dist/{SCRIPT}", BINARY: f"dist/{BINARY}"}


def _read_folder(folder: Path) -> Mapping[str, bytes]:
    content = {}
    for name, place in PLACES.items():
        path = folder / place
        if not path.is_file() or path.stat().st_size > MAX_BYTES:
            raise KeyError(place)
        content[name] = path.read_bytes()
    return content


def _read_tarball(path: Path) -> Mapping[str, bytes]:
    wanted, content = {f"package/{place}": name for name, place in PLACES.items()}, {}
    with tarfile.open(path, "r:gz") as tar:
        for member in tar:
            if member.name in wanted and member.isreg() and member.size <= MAX_BYTES:
                file = tar.extractfile(member)
                assert file is not None  # it is a regular file
                content[wanted[member.name]] = file.read()
    for place, name in wanted.items():
        if name not in content:
            raise KeyError(place)
    return content


def _version_of(package: bytes, path: Path) -> str:
    try:
        fields = json.loads(package)
        name, version = fields["name"], fields["version"]
    except (ValueError, KeyError, TypeError, RecursionError):
        name = version = None
    if name != NAME or not isinstance(version, str):
        raise DataError(f"{path} is not the npm package {NAME}")
    return version
