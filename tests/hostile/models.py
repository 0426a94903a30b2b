"""Models of strangers: one ONNX file, a folder of files, pickles, and recipes."""

import io
import json
import pickle
import struct
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from hostile.material import Material
from hostile.mutations import (
    NUMBERS,
    TEXTS,
    hostile_value,
    mutate_bytes,
    mutate_text,
    mutate_value,
    mutated_json,
)


class Evil:
    """What a pickle calls when it is read by somebody who lets it."""

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return exec, ("open('../home/ran', 'w').write('ran')",)


# ----------------------------------------------------------------------------- the one-file form


def make_model(dice: Random, folder: Path, material: Material) -> Path:
    """The one-file form with something wrong in its card, its words, its weights or its graph."""
    path = folder / "model.onnx"
    if dice.random() < 0.15:
        path.write_bytes(mutate_bytes(dice, material.onnx))
        return path
    model = onnx.load_model_from_string(material.onnx)
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        dice.choice((_about, _about, _about, _weights, _graph, _graph))(dice, model)
    path.write_bytes(model.SerializeToString())
    return path


def _about(dice: Random, model: onnx.ModelProto) -> None:
    """Vocabulary, view, card, recipe, format: texts, most of them JSON."""
    if not model.metadata_props:
        return
    entry = dice.choice(list(model.metadata_props))
    chance = dice.random()
    if chance < 0.06:
        model.metadata_props.remove(entry)
    elif chance < 0.15:
        entry.value = "\n".join([dice.choice(TEXTS).encode("utf8", "replace").decode()] * 9)
    elif chance < 0.17:
        entry.value = dice.choice(("word\n" * 300_000, "x" * 10**6 + "\n<pad>", "[" * 100_000))
    elif entry.key in ("vocabulary", "format"):
        entry.value = mutate_text(dice, entry.value).encode("utf8", "replace").decode()
    else:
        content = mutated_json(dice, json.loads(_or_null(entry.value)))
        entry.value = content.decode("utf8", "replace")


def _or_null(text: str) -> str:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return "null"
    return text


def _weights(dice: Random, model: onnx.ModelProto) -> None:
    weight = dice.choice(list(model.graph.initializer))
    match dice.randrange(7):
        case 0 if weight.dims:
            weight.dims[dice.randrange(len(weight.dims))] = dice.choice((0, 1, -1, 7, 2**40))
        case 1:
            weight.raw_data = weight.raw_data[: dice.randrange(len(weight.raw_data) + 1)]
        case 2:
            weight.data_type = dice.randrange(0, 24)
        case 3:
            model.graph.initializer.remove(weight)
        case 4:
            weight.name = dice.choice((weight.name + "x", "", dice.choice(TEXTS[:6])))
        case 5:
            weight.raw_data = dice.choice((b"\xff", b"\0", b"\x7f")) * len(weight.raw_data)
        case _:
            weight.data_location = 1
            said = (("location", dice.choice(("../home/precious", "/etc/passwd", "x"))),)
            del weight.external_data[:]
            weight.external_data.extend(
                onnx.StringStringEntryProto(key=k, value=v) for k, v in said
            )


def _graph(dice: Random, model: onnx.ModelProto) -> None:
    graph = model.graph
    if dice.random() < 0.4:
        inner = [a.g for n in graph.node for a in n.attribute if a.HasField("g")]
        graph = dice.choice([graph, *inner])
    if dice.random() < 0.1:
        _endless(dice, model)
        return
    if not graph.node:
        return
    dice.choice((_rewire, _rename, _attribute, _interface))(dice, graph)


def _rewire(dice: Random, graph: onnx.GraphProto) -> None:
    """A node lost, or fed with something else."""
    node = dice.choice(list(graph.node))
    if dice.random() < 0.3 or not node.input:
        graph.node.remove(node)
        return
    names = [name for each in graph.node for name in (*each.input, *each.output)]
    node.input[dice.randrange(len(node.input))] = dice.choice([*names, "", "nothing"])


def _rename(dice: Random, graph: onnx.GraphProto) -> None:
    kinds = ("Add", "Identity", "Loop", "If", "Tile", "Expand", "NoOp")
    dice.choice(list(graph.node)).op_type = dice.choice(kinds)


def _attribute(dice: Random, graph: onnx.GraphProto) -> None:
    node = dice.choice([node for node in graph.node if node.attribute] or list(graph.node))
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.INT:
            attribute.i = max(-(2**63), min(2**63 - 1, dice.choice(NUMBERS[:8])))
            return
    del node.attribute[:]


def _interface(dice: Random, graph: onnx.GraphProto) -> None:
    """An output lost, or an input of another type."""
    if graph.output and (dice.random() < 0.5 or not graph.input):
        del graph.output[dice.randrange(len(graph.output))]
    elif graph.input:
        kind = graph.input[dice.randrange(len(graph.input))].type.tensor_type
        kind.elem_type = dice.randrange(0, 17)


def _endless(dice: Random, model: onnx.ModelProto) -> None:
    """All constants that say how long the search goes, or how large things are, become huge."""
    for weight in model.graph.initializer:
        if weight.data_type == onnx.TensorProto.INT64 and dice.random() < 0.5:
            old = numpy_helper.to_array(weight)
            huge = np.full(old.shape, dice.choice((10**6, 2**40, 2**63 - 1, -1)), np.int64)
            weight.CopyFrom(numpy_helper.from_array(huge, weight.name))
    for node in model.graph.node:
        if node.op_type == "Constant" and dice.random() < 0.3:
            held = node.attribute[0]
            if held.name == "value" and held.t.data_type == onnx.TensorProto.INT64:
                old = numpy_helper.to_array(held.t)
                held.t.CopyFrom(numpy_helper.from_array(np.full(old.shape, 2**40), held.t.name))
    if dice.random() < 0.3:
        model.graph.node.append(helper.make_node("Identity", ["nothing"], ["more"]))


# --------------------------------------------------------------------------------- a model folder


def make_folder(dice: Random, folder: Path, material: Material) -> Path:
    """A model folder in which one to three files are not as they should be."""
    place = folder / "model"
    place.mkdir()
    files = dict(material.folder)
    if dice.random() < 0.3:
        files["model.onnx"] = material.onnx
    (folder / "evil.py").write_text("open('../home/ran', 'w').write('ran')\nclass Evil: ...\n")
    for _ in range(dice.choice((1, 1, 2, 3))):
        name = dice.choice(sorted(files))
        files[name] = _change_file(dice, name, files[name])
    for name, content in files.items():
        if dice.random() > 0.01:
            (place / name).write_bytes(content)
        else:
            _odd_file(dice, place / name)
    return place


def _change_file(dice: Random, name: str, content: bytes) -> bytes:
    if dice.random() < 0.15:
        return mutate_bytes(dice, content)
    if name.endswith(".jsonl"):
        lines = [line for line in content.split(b"\n") if line]
        at = dice.randrange(len(lines)) if lines else 0
        lines[at : at + 1] = [mutated_json(dice, _read(lines[at]) if lines else {})]
        return b"\n".join(lines)
    if name.endswith(".json"):
        return mutated_json(dice, _read(content))
    if name.endswith(".txt"):
        text = content.decode("utf8", "replace")
        return mutate_text(dice, text).encode("utf8", "surrogatepass")
    if name.endswith(".safetensors"):
        return _change_safetensors(dice, content)
    if name == "resume.pt":
        return _change_resume(dice, content)
    return mutate_bytes(dice, content)


def _read(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return {}


def _odd_file(dice: Random, path: Path) -> None:
    match dice.randrange(3):
        case 0:
            path.mkdir()
        case 1:
            path.symlink_to("../../home/precious")
        case _:
            path.symlink_to(path.name)


def _change_safetensors(dice: Random, content: bytes) -> bytes:
    """The header is JSON of names, types, shapes, places; before it stands its length."""
    if len(content) < 9:
        return content
    length = int.from_bytes(content[:8], "little")
    header, body = _read(content[8 : 8 + length]), content[8 + length :]
    for _ in range(dice.choice((1, 2))):
        header = mutate_value(dice, header)
    if isinstance(header, dict) and dice.random() < 0.3:
        about = header.get("__metadata__")
        if isinstance(about, dict) and "card" in about:
            about["card"] = mutated_json(dice, _read(str(about["card"]).encode())).decode(
                "utf8", "replace"
            )
    told = json.dumps(header).encode()
    size = dice.choice((len(told), len(told), len(told), len(told), 2**63, 0, len(told) * 2))
    return struct.pack("<Q", size) + told + body


def _change_resume(dice: Random, content: bytes) -> bytes:
    """The state of a run: another value in it, something that runs code, something vast."""
    import torch

    file = io.BytesIO()
    chance = dice.random()
    if chance < 0.2:
        return pickle.dumps(Evil())
    if chance < 0.3:
        torch.save({"step": Evil()}, file)
    elif chance < 0.4:
        torch.save(hostile_value(dice), file)
    else:
        try:
            state = torch.load(io.BytesIO(content), weights_only=True)
        except Exception:  # changed before
            return mutate_bytes(dice, content)
        if isinstance(state, dict):
            name = dice.choice(list(state))
            state[name] = hostile_value(dice) if dice.random() < 0.6 else torch.zeros(3)
        torch.save(state, file)
    return file.getvalue()


# ---------------------------------------------------------------------------------------- pickles


def make_vocabulary(dice: Random, folder: Path, material: Material) -> Path:
    """The classic `vocab.pkl`: other objects, programs, vast numbers, damage."""
    words = {word: n for n, word in enumerate(("<pad>", "<start>", "<end>", "<unk>", "a", "dog"))}
    held: Any = {"word2idx": words, "idx2word": {n: word for word, n in words.items()}}
    if dice.random() < 0.6:
        held = mutate_pickled(dice, held)
    if dice.random() < 0.1:
        held = Evil()
    content = pickle.dumps(held, protocol=dice.randrange(0, 6))
    if dice.random() < 0.6:
        content = mutate_bytes(dice, content)
    path = folder / "vocab.pkl"
    path.write_bytes(content)
    return path


def mutate_pickled(dice: Random, held: Any) -> Any:
    """As `mutate_value`, of what JSON cannot say."""
    table = held[dice.choice(sorted(held))]
    table[dice.choice((b"bytes", 1.5, None, (1, 2), "dog", 3))] = hostile_value(dice)
    return held


# ---------------------------------------------------------------------------------------- recipes

GOOD = """
title = "Mine"
[source]
kind = "folder"
validation = 0.1
[view]
size = 64
fit = "squash"
[vocabulary]
min_count = 2
[encoder]
kind = "mosaic"
tiles = 8
[decoder]
kind = "show-and-tell"
embedding = 32
hidden = 64
dropout = 0.1
[training]
epochs = 3
captions_a_step = 16
learning_rate = 5e-3
[search]
kind = "beam"
width = 3
max_words = 10
[[then]]
epochs = 1
learning_rate = 1e-4
"""


def make_recipe(dice: Random, folder: Path, material: Material) -> Path:
    """TOML with wrong names, kinds, values, lengths; or none any more."""
    text = GOOD
    lines = text.split("\n")
    for _ in range(dice.choice((1, 1, 2, 4))):
        at = dice.randrange(len(lines))
        name, equals, _value = lines[at].partition("=")
        if equals and dice.random() < 0.7:
            lines[at] = f"{name}= {_toml_value(dice)}"
        else:
            lines = mutate_text(dice, "\n".join(lines)).split("\n")
    (folder / "evil.py").write_text("open('../home/ran', 'w').write('ran')\nclass Evil: ...\n")
    path = folder / "recipe.toml"
    content = "\n".join(lines).encode("utf8", "surrogatepass")
    path.write_bytes(mutate_bytes(dice, content) if dice.random() < 0.15 else content)
    return path


def _toml_value(dice: Random) -> str:
    plain = ("0", "-1", "1e400", "nan", "inf", "2024-01-01", "true", '""', "[]", "{}", "9" * 5_000)
    odd = ("[[[1]]]", '"""', "{a={b={c=1}}}", '"coco"', '"transformer"', '"greedy"', '"resnet50"')
    deep = (
        "[" * 3_000,
        "{a=" * 500,
        "a.b.c.d",
        '"evil:Evil"',
        '"os:system"',
        "9223372036854775808",
    )
    return dice.choice(
        (*plain, *odd, *deep, str(dice.choice(NUMBERS)), json.dumps(dice.choice(TEXTS)))
    )
