"""`cutline caption --engine daft`: every source, each picture once, whatever is killed."""

import random
import subprocess
import sys
import tarfile
import time
from collections import Counter
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from albums import draw
from cutline.cluster import CaptionColumns
from cutline.cluster.folder import CaptionFolder
from cutline.errors import DataError
from cutline.inference.captioner import load

psutil = pytest.importorskip("psutil", reason="psutil is not installed")
COMMAND = (sys.executable, "-m", "cutline", "caption")


@pytest.fixture
def daft():
    return pytest.importorskip("daft", reason="daft is not installed: pip install '.[cluster]'")


@pytest.fixture
def photos(tmp_path) -> list[Path]:
    """Six pictures in a folder, and one that cannot be read."""
    folder = tmp_path / "photos"
    folder.mkdir()
    drawn = [draw(folder / f"{number}.png", number) for number in range(6)]
    (folder / "bad.png").write_bytes(drawn[0].read_bytes()[:60])
    return [*drawn, folder / "bad.png"]


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [*COMMAND, *map(str, arguments), "--engine", "daft"]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def run(*arguments: object) -> tuple[int, str]:
    process = start(*arguments)
    _, told = process.communicate(timeout=250)
    return process.returncode, told


def rows(folder: Path) -> list[dict[str, object]]:
    parts = [pyarrow.parquet.read_table(part) for part in sorted(folder.glob("*.parquet"))]
    return pyarrow.concat_tables(parts).to_pylist()


def captions(folder: Path) -> dict[str, str]:
    """What was said of each picture, by file name; each has one row."""
    found = rows(folder)
    assert max(Counter(row["path"] for row in found).values()) == 1
    return {Path(row["path"]).name: row["caption"] or row["left_out"] or "-" for row in found}


def expected(model: Path, paths: list[Path]) -> dict[str, str]:
    answers = load(model).caption_each(paths)
    return {
        path.name: getattr(answer, "text", "") or getattr(answer, "left_out", "-")
        for path, answer in zip(paths, answers, strict=True)
    }


@pytest.mark.slow
def test_every_source_has_the_captions_of_the_command(daft, tiny, photos, tmp_path):
    whole, wanted = photos[:-1], expected(tiny, photos)
    with tarfile.open(tmp_path / "shard-0.tar", "w") as shard:
        for path in photos:
            shard.add(path, f"deep/{path.name}")
            path.with_suffix(".txt").write_text("a caption of somebody's")
            shard.add(path.with_suffix(".txt"), f"deep/{path.stem}.txt")
    contents = [path.read_bytes() for path in photos]
    as_dataset = [{"bytes": content, "path": None} for content in contents]
    names, addresses = [path.name for path in photos], list(map(str, photos))
    tables = {
        "bytes": {"id": names, "jpg": contents},
        "dataset": {"file_name": names, "image": as_dataset},
        "addresses": {"url": addresses, "width": [1] * len(photos)},
    }
    for name, columns in tables.items():
        pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / f"{name}.parquet")
    shared = ("-m", tiny, "--threads", 1)

    for number, source in enumerate(
        [tmp_path / "photos", f"{tmp_path}/photos/*.png", f"{tmp_path}/shard-*.tar"]
        + [tmp_path / f"{name}.parquet" for name in tables]
    ):
        out = tmp_path / f"out-{number}.parquet"
        code, told = run(source, *shared, "--out", out)
        assert code == 1 and "bad.png" in told, told
        assert captions(out) == wanted, source
        [error] = [row["error"] for row in rows(out) if row["error"]]
        assert "bad.png is truncated" in error or "bad.png is damaged" in error

    more = draw(tmp_path / "photos" / "new.png", 99)
    out = tmp_path / "out-0.parquet"
    photos[-1].write_bytes(whole[0].read_bytes())
    code, told = run(tmp_path / "photos", *shared, "--out", out, "--retry-failed")
    assert code == 0 and "6 of 8 pictures are done already" in told
    assert captions(out) == expected(tiny, [*photos, more])


@pytest.mark.slow
def test_object_storage_is_read_by_url(daft, tiny, photos, tmp_path, monkeypatch):
    server = pytest.importorskip("moto.server", reason="moto is not installed")
    boto3 = pytest.importorskip("boto3", reason="boto3 is not installed")
    storage = server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    storage.start()
    endpoint = "http://{}:{}".format(*storage.get_host_and_port())
    for name, value in {
        "ACCESS_KEY_ID": "a",
        "SECRET_ACCESS_KEY": "b",
        "REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    client.create_bucket(Bucket="album")
    for path in photos:
        client.upload_file(str(path), "album", f"deep/{path.name}")

    code, told = run("s3://album/deep", "-m", tiny, "--threads", 1, "--out", tmp_path / "o.parquet")
    storage.stop()

    assert code == 1 and "s3://album/deep/bad.png" in told
    assert captions(tmp_path / "o.parquet") == expected(tiny, photos)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_workers_and_drivers_leave_each_picture_once(daft, tmp_path, tiny):
    kill_at_moments(2, tiny, tmp_path, pictures=3_000)


def kill_at_moments(rounds: int, model: Path | None, folder: Path, *, pictures: int) -> None:
    """In each round, kill a worker and then the driver once a file more is written; then finish.

    After each round, every file is whole and no picture has two rows. In the last round, only a
    worker is killed, and the others finish.
    """
    drawn = [draw(folder / f"{number}.png", number) for number in range(pictures)]
    out, chance, which = folder / "captions.parquet", random.Random(0), ["-m", model] * bool(model)
    for left in reversed(range(rounds)):
        written = len(list(out.glob("*.parquet")))
        process = start(folder, *which, "--threads", 2, "--out", out)
        while process.poll() is None and len(list(out.glob("*.parquet"))) == written:
            time.sleep(0.1)
        time.sleep(chance.uniform(0, 1))
        for worker in workers_of(process)[:1]:
            worker.kill()
        if left:
            time.sleep(chance.uniform(0, 5))
            process.kill()
        told = process.communicate(timeout=1_000)[1]
        done = captions(out) if list(out.glob("*.parquet")) else {}
        print(f"{left} rounds left, {len(done)} of {pictures} done: {told[-200:]}", flush=True)

    assert process.returncode == 0
    assert captions(out) == expected(model, drawn)


def workers_of(process: subprocess.Popen[str]) -> list["psutil.Process"]:
    try:
        children = psutil.Process(process.pid).children(recursive=True)
        return [each for each in children if "daft.execution.udf_worker" in each.cmdline()]
    except psutil.NoSuchProcess:
        return []


def test_two_processes_never_write_one_folder(tmp_path):
    with (
        CaptionFolder.open(tmp_path / "a.parquet", {}),
        pytest.raises(DataError, match="another cutline process is writing"),
        CaptionFolder.open(tmp_path / "a.parquet", {}),
    ):
        pass


def test_a_folder_has_captions_of_one_model_with_the_same_options(tiny, tmp_path):
    rows = CaptionColumns(tiny)([b""]).add_column(0, "path", [["a"]])
    with CaptionFolder.open(tmp_path / "a.parquet", {"model": 1}) as folder:
        folder.append(rows)

    with (
        pytest.raises(DataError, match="captions of another model, or with other options"),
        CaptionFolder.open(tmp_path / "a.parquet", {"model": 2}),
    ):
        pass


@pytest.mark.parametrize("name", ["notes.txt", "part-000000.parquet"])
def test_a_folder_with_files_of_others_is_refused(name, tmp_path):
    table = pyarrow.table({"path": ["a"]})
    (tmp_path / "a.parquet").mkdir()
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet" / name)

    with (
        pytest.raises(DataError, match=f"{name} was not written by cutline"),
        CaptionFolder.open(tmp_path / "a.parquet", {}),
    ):
        pass


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"mine")

    with (
        pytest.raises(DataError, match="with --engine it is a folder"),
        CaptionFolder.open(tmp_path / "a.parquet", {}),
    ):
        pass
    assert (tmp_path / "a.parquet").read_bytes() == b"mine"
