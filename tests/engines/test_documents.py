"""The code in docs/engines.md runs."""

import json
import re
import tarfile

from conftest import ROOT

PAGE = (ROOT / "docs" / "engines.md").read_text(encoding="utf8")


def test_the_pictures_of_a_shard_are_captioned_as_they_stream(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    with tarfile.open("shard-000000.tar", "w") as shard:
        for name in ("cat", "lake"):
            shard.add(ROOT / "examples" / f"{name}.jpg", f"{name}.jpg")
        shard.add("bad.jpg")
        shard.add(ROOT / "README.md", "cat.txt")
    [code] = (c for c in re.findall(r"```python\n(.*?)```", PAGE, re.S) if "tarfile" in c)

    exec(compile(code, "docs/engines.md", "exec"), {})

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["path"] for line in lines] == ["cat.jpg", "lake.jpg", "bad.jpg"]
    assert lines[0]["caption"] and lines[1]["caption"] and "error" in lines[2]
