"""Captions pictures with Daft, on the cores of one machine or on a Ray cluster, resumably.

Daft reads the sources and runs the workers; this process collects the rows, and writes every
`SLICE` of them as one file. Pictures that have a row are removed from the source before anything is
read, so that the same call resumes, whichever process was killed.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from importlib import import_module
from itertools import compress, starmap
from pathlib import Path
from typing import Any

from cutline.cluster.columns import CaptionColumns, caption_schema
from cutline.cluster.folder import CaptionFolder
from cutline.cluster.sources import COLUMNS, first_line, open_picture, read_sources
from cutline.errors import CutlineError, DataError
from cutline.images.formats import describe_skipped
from cutline.inference.library import Event, PictureDone, Scanned
from cutline.io.tables import import_parquet
from cutline.models.onnx_runtime import usable_cores

BATCH = 64
"""Pictures that a worker is given at a time."""
SLICE, SLICE_SECONDS = 1_000, 60.0
"""A file is written after so many pictures or seconds; a killed process loses at most that."""


def caption_on_daft(
    columns: CaptionColumns,
    sources: Sequence[str],
    out: Path,
    *,
    workers: int | None = None,
    ray: str | None = None,
    recursive: bool = False,
    retry_failed: bool = False,
) -> Generator[Event]:
    """Caption what `sources` name (`read_sources`) into a folder of Parquet files.

    The same call resumes. `workers` is the number of processes with one core each (default: all
    cores); `ray` the address of a cluster, whose machines see the same paths. If a worker dies,
    the pictures that remain are begun again, as long as some were finished. Raises `DataError`
    and `CutlineError`; what was captioned before is in the folder.
    """
    daft, skipped = _start(ray), Counter[str]()
    with CaptionFolder.open(out, columns.describe_request()) as folder:
        if retry_failed:
            folder.forget_failed()
        frames = list(read_sources(daft, sources, skipped, recursive=recursive))
        total = sum(_count(frame) for frame in frames)
        left = [_count(_without_done(daft, frame, folder)) for frame in frames]
        done = total - sum(left)
        yield Scanned(total, done, describe_skipped(skipped))
        caption = _as_udf(daft, columns, workers or _count_cores(ray))
        for frame in compress(frames, left):
            for path, problem in _caption(daft, frame, folder, caption):
                done += 1
                yield PictureDone(path, None, problem, done, total)
        finished = folder.count()
    yield finished


def _start(ray: str | None) -> Any:
    """Daft, with its telemetry and progress bars off. Raises `CutlineError` without it."""
    os.environ |= {"DO_NOT_TRACK": "1", "DAFT_PROGRESS_BAR": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    try:
        daft = import_module("daft")
        if ray:
            import_module("ray")
            daft.set_runner_ray(ray, noop_if_initialized=True)
    except ImportError as error:
        raise CutlineError(
            f"--engine daft needs {error.name}: pip install 'cutline[cluster]'"
            + " and 'ray[default]'" * (error.name == "ray")
        ) from None
    except Exception as error:
        raise CutlineError(f"there is no Ray cluster at {ray}: {first_line(error)}") from None
    return daft


def _count_cores(ray: str | None) -> int:
    if not ray:
        return usable_cores()
    return max(1, int(import_module("ray").cluster_resources().get("CPU", 1)))


def _count(frame: Any) -> int:
    try:
        return frame.count_rows()
    except Exception as error:
        raise DataError(f"the pictures cannot be listed: {first_line(error)}") from None


def _without_done(daft: Any, frame: Any, folder: CaptionFolder) -> Any:
    """The pictures of a table that have no row yet."""
    return frame.join(daft.from_arrow(folder.paths()), on="path", how="anti")


def _caption(
    daft: Any, frame: Any, folder: CaptionFolder, caption: Callable[..., Any]
) -> Iterator[tuple[str, str | None]]:
    """Path and problem of each picture, once its row is on the disk."""
    lost: _LostError | None = None
    while True:
        ready, began = list[Any](), time.monotonic()
        pending = _without_done(daft, frame, folder).into_batches(BATCH)  # for Ray: one for a task
        try:
            for rows in _answers(pending.select("path", caption(*map(daft.col, COLUMNS)))):
                ready.append(rows)
                if sum(map(len, ready)) >= SLICE or time.monotonic() - began >= SLICE_SECONDS:
                    yield from _save(folder, ready)
                    began, lost = time.monotonic(), None
        except _LostError as error:
            if lost and not ready:
                raise CutlineError(
                    f"captioning stopped twice without a caption ({error}); the captions so far "
                    f"are in {folder.path}, and the same call resumes"
                ) from None
            lost = error
        finally:  # also if the caller stops iterating
            saved = _save(folder, ready)
        yield from saved
        if not lost:
            return


class _LostError(Exception):
    """A worker or a machine died, or Daft failed otherwise."""


def _answers(frame: Any) -> Iterator[Any]:
    """Tables of rows, as they are ready."""
    arrow, _ = import_parquet()
    try:
        for batch in frame.to_arrow_iter():
            path, answers = batch.columns
            yield arrow.Table.from_arrays(
                [path, *answers.flatten()], ["path", *caption_schema().names]
            )
    except Exception as error:  # Daft raises RuntimeError, its own errors and those of Ray
        raise _LostError(first_line(error)) from None


def _save(folder: CaptionFolder, ready: list[Any]) -> list[tuple[str, str | None]]:
    """Write the tables in `ready`, which is then empty; path and problem of each row."""
    arrow, _ = import_parquet()
    if not ready:
        return []
    rows = arrow.concat_tables(ready)
    folder.append(rows)
    ready.clear()
    return list(zip(rows["path"].to_pylist(), rows["error"].to_pylist(), strict=True))


def _as_udf(daft: Any, columns: CaptionColumns, workers: int) -> Callable[..., Any]:
    """The function for `select` that captions pictures in so many processes."""
    arrow, _ = import_parquet()
    kind = daft.DataType.from_arrow_type(arrow.struct(list(caption_schema())))

    class Workers:
        def __init__(self, columns: CaptionColumns) -> None:
            self._columns = columns

        @daft.method.batch(return_dtype=kind, batch_size=BATCH)  # type: ignore[untyped-decorator]
        def __call__(self, *cells: Any) -> Any:
            rows = zip(*(column.to_pylist() for column in cells), strict=True)
            return self._columns(starmap(open_picture, rows)).to_struct_array().combine_chunks()

    made = daft.cls(Workers, use_process=True, max_concurrency=workers)(columns)
    return lambda *cells: made(*cells).alias("answer")
