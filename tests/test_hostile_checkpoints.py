"""Checkpoints from strangers: pickles with code, cut short, with bytes flipped, or written to harm.

Each is read as usual or refused in one line; none runs code, hangs, takes much memory or leaves a file behind.
`record_property("cases", n)` tells tests/reliability.py how many hostile files a test made.
"""

import builtins
import functools
import importlib
import operator
import os
import pickle
import shutil
import subprocess
from collections import OrderedDict

import numpy as np
import paddle
import pytest
from hostile_support import EXAMPLES, for_each_damage, in_little_memory, reads_or_refuses
from paddleseg.utils import utils
from picture_support import run_tool, write_config, write_dataset

from paddleseg_ext.builder import load_weights
from paddleseg_ext.command import UserError
from paddleseg_ext.weights.paddle_file import load_paddle_file
from paddleseg_ext.weights.pytorch_file import read_state_dict


def layers():
    paddle.seed(0)
    return paddle.nn.Sequential(paddle.nn.Conv2D(2, 3, 1), paddle.nn.BatchNorm2D(3))


def optimizer_state(kind):
    trained = layers()
    schedule = paddle.optimizer.lr.LinearWarmup(paddle.optimizer.lr.PolynomialDecay(0.1, 10), 5, 0.0, 0.1)
    optimizer = kind(schedule, parameters=trained.parameters())
    trained(paddle.ones([1, 2, 4, 4])).mean().backward()
    optimizer.step()
    schedule.step()
    return optimizer.state_dict()


WRITTEN = {
    "weights": lambda: layers().state_dict(),
    "arrays": lambda: {name: value.numpy() for name, value in layers().state_dict().items()},
    "momentum": lambda: optimizer_state(paddle.optimizer.Momentum),
    "adam": lambda: optimizer_state(paddle.optimizer.AdamW),
    "mixed": lambda: OrderedDict(
        best=np.float64(0.5),
        epoch=3,
        names=["a", ("b", None, True)],
        tensors={"half": paddle.ones([2]).astype("float16"), "byte": paddle.zeros([3, 1]).astype("uint8")},
        shared=[paddle.ones([2])] * 2,
    ),
    "unusual arrays": lambda: {
        "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "empty": np.zeros((0, 3), np.float32),
        "number": np.array(3, np.int64),
    },
}


def leaves(value, name=""):
    if isinstance(value, dict):
        return {leaf: v for key, inner in value.items() for leaf, v in leaves(inner, f"{name}/{key}").items()}
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], np.ndarray):
        return {name: value[1]}  # a tensor among other things is (name, array) in the file
    if isinstance(value, (list, tuple)):
        return leaves(dict(enumerate(value)), name)
    return {name: value.numpy() if isinstance(value, paddle.Tensor) else value}


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("kind", WRITTEN)
def test_what_paddle_writes_is_read_as_paddle_reads_it(kind, protocol, tmp_path):
    path = str(tmp_path / "model.pdparams")
    paddle.save(WRITTEN[kind](), path, protocol=protocol)
    ours, theirs = leaves(load_paddle_file(path)), leaves(paddle.load(path))
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        np.testing.assert_array_equal(ours[name], value, err_msg=name)
        assert np.asarray(ours[name]).dtype == np.asarray(value).dtype


class Calls:
    """Pickles to a call of `function`."""

    def __init__(self, function, *arguments):
        self.reduced = (function, arguments)

    def __reduce__(self):
        return self.reduced


def harmful_values(target):
    """What writes to `target`, or does other harm, as it is unpickled."""
    touch = Calls(os.system, f"touch {target}")
    write = f"open({target!r}, 'w').write('harm')"
    return [
        touch,
        Calls(subprocess.call, ["touch", target]),
        Calls(builtins.eval, write),
        Calls(builtins.exec, write),
        Calls(builtins.open, target, "w"),
        Calls(builtins.getattr, "text", "upper"),
        Calls(bytearray, 1 << 36),
        Calls(importlib.import_module, "antigravity"),
        Calls(shutil.copy, __file__, target),
        Calls(operator.attrgetter, "system"),
        Calls(functools.partial, os.system, f"touch {target}"),
        Calls(pickle.loads, pickle.dumps(touch)),
        Calls(np.load, target),
        Calls(np.ndarray, (1 << 36,)),
        Calls(np.fromfile, "/dev/zero"),
        Calls(paddle.load, target),
        np.array([touch], dtype=object),
    ]


def nested(levels, opening, closing):
    return b"\x80\x04" + opening * levels + b"N" + closing * levels + b"."


HARMFUL_BYTES = {
    "protocol 0": b"cos\nsystem\n(S'touch {target}'\ntR.",
    "INST": b"(S'touch {target}'\nios\nsystem\n.",
    "OBJ": b"(cos\nsystem\nX\x05\x00\x00\x00touch" + b"o.",
    "NEWOBJ": b"\x80\x02cbuiltins\nobject\n)\x81.",
    "persistent id": b"\x80\x02U\x01aQ.",
    "extension": b"\x80\x02\x82\x01.",
    "a name from the memo": b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94h\x00h\x01\x93)R.",
    "attribute of an allowed name": b"\x80\x04\x8c\x05numpy\x8c\x0dndarray.fill\x93.",
    "BUILD of an allowed name": b"\x80\x02ccollections\nOrderedDict\n}U\x07__doc__U\x01xsb.",
    "memo of 2 billion": b"\x80\x02]r\xff\xff\xff\x7f.",
    "bytes of an exabyte": b"\x80\x04\x8e\x00\x00\x00\x00\x00\x00\x00\x10x.",
    "lists that double 60 times": b"\x80\x02]q\x00"
    + b"".join(b"](h%ch%ceq%c" % (i, i, i + 1) for i in range(60))
    + b".",
    "key that doubles 60 times": b"\x80\x02})q\x00"
    + b"".join(b"h%ch%c\x86q%c" % (i, i, i + 1) for i in range(60))
    + b"Ns.",
    "100,000 lists in lists": nested(100_000, b"]", b"a"),
    "100,000 tuples in tuples": nested(100_000, b"", b"\x85"),
    "a list in itself": b"\x80\x02]q\x00h\x00a.",
    "slices that multiply": pickle.dumps(
        {"UnpackBigParamInfor@@": {"w": {"slices": ["a"] * 99, "OriginShape": [9]}}}, 2
    ),
    "no dict": pickle.dumps([1, 2], 2),
    "nothing": b"",
    "zeros": bytes(1000),
    "a text": b"weights",
    "an image": b"\x89PNG\r\n\x1a\n" + bytes(100),
}


def array_pickle(
    code=b"f4", state=b"K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00", shape=b"K\x02\x85", data=8
):
    """The pickle of {"w": an array} with parts that NumPy would not write."""
    return (
        b"\x80\x02}U\x01wcnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01" + shape + b"cnumpy\ndtype\nU" + bytes([len(code)]) + code + b"K\x00K\x01\x87R(" + state + b"tb"
        b"\x89U" + bytes([data]) + b"\x00" * data + b"tbs."
    )


HARMFUL_ARRAYS = {
    "numbers as pointers": array_pickle(state=b"K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x3f"),
    "objects": array_pickle(code=b"O8"),
    "records": array_pickle(code=b"V8"),
    "more than the bytes": array_pickle(shape=b"J\xff\xff\xff\x7f\x85"),
    "less than the bytes": array_pickle(shape=b"K\x01\x85"),
    "negative": array_pickle(shape=b"J\xff\xff\xff\xff\x85"),
    "zero times a billion billions": array_pickle(
        shape=b"K\x00\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01\x86", data=0
    ),
    "big endian": array_pickle(state=b"K\x03U\x01>NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00"),
}


def test_the_array_that_is_spoilt_is_one_that_is_read(tmp_path):
    (tmp_path / "w.pdparams").write_bytes(array_pickle())
    np.testing.assert_array_equal(load_paddle_file(str(tmp_path / "w.pdparams"))["w"], np.zeros(2, np.float32))


@pytest.mark.parametrize("protocol", [2, 4])
def test_code_in_a_checkpoint_does_not_run(protocol, tmp_path, record_property):
    path, target = tmp_path / "model.pdparams", tmp_path / "harm"
    values = harmful_values(str(target))
    for value in values:
        path.write_bytes(pickle.dumps({"conv_first.weight": value, "best": [value]}, protocol))
        assert isinstance(reads_or_refuses(load_paddle_file, path), UserError)
    record_property("cases", len(values))


def test_files_that_no_paddle_wrote(tmp_path, record_property):
    path = tmp_path / "model.pdparams"
    cases = {**HARMFUL_BYTES, **HARMFUL_ARRAYS}

    def all_are_refused():
        for content in cases.values():
            path.write_bytes(content.replace(b"{target}", str(tmp_path / "harm").encode()))
            assert isinstance(reads_or_refuses(load_paddle_file, path), UserError), content[:80]
        return True

    assert in_little_memory(all_are_refused)
    record_property("cases", len(cases))


@pytest.mark.parametrize("tool", ["val", "predict", "export", "heat_map", "segmentation_image"])
def test_every_tool_refuses_code_in_weights(tool, tmp_path, record_property):
    data = write_dataset(tmp_path / "data", count=1)
    weights, target = tmp_path / "model.pdparams", tmp_path / "harm"
    flags = {"config": write_config(data), "model_path": weights}
    if tool not in ("val", "export"):
        flags["image_path"] = data / "images/p0.png"
    values = harmful_values(str(target))[:2]
    for value in values:
        weights.write_bytes(pickle.dumps({"a": value}, 2))
        with pytest.raises(UserError, match="model.pdparams: refused, since it names"):
            run_tool(tool, **flags, save_dir=tmp_path / "out")
    assert not target.exists() and not (tmp_path / "out").exists()
    record_property("cases", len(values))


def test_paddle_and_paddleseg_refuse_code_too(tmp_path, record_property):
    """As stock scripts load `--model_path`, `--resume_model` and `pretrained`; see host/checkpoints.py."""
    path, target = tmp_path / "model.pdparams", tmp_path / "harm"
    values = harmful_values(str(target))
    for value in values:
        path.write_bytes(pickle.dumps({"0.weight": value}, 2))
        for load in (paddle.load, functools.partial(utils.load_pretrained_model, layers())):
            with pytest.raises(UserError, match="model.pdparams: (refused|not a whole file)"):
                load(str(path))
    assert not target.exists()
    record_property("cases", 2 * len(values))


@pytest.mark.parametrize("suffix", ["pdparams", "pdopt"])
def test_damaged_checkpoints(suffix, tmp_path, record_property):
    path = tmp_path / f"model.{suffix}"
    paddle.save(WRITTEN["weights" if suffix == "pdparams" else "adam"](), str(path), protocol=4)
    content = path.read_bytes()
    for end in range(len(content)):
        path.write_bytes(content[:end])
        assert isinstance(reads_or_refuses(load_paddle_file, path), UserError)

    def check():
        result = reads_or_refuses(load_paddle_file, path)
        assert isinstance(result, (dict, UserError))

    for_each_damage(path, content, check)
    record_property("cases", len(content) + EXAMPLES)


def test_weights_fit_or_are_refused(tmp_path, record_property):
    path, target = tmp_path / "model.pdparams", layers()
    kept = {name: value.numpy() for name, value in target.state_dict().items()}
    bad = {
        "of another type": kept["0.weight"].astype(np.float64),
        "of another shape": kept["0.weight"][:1],
        "no array": "text",
        "a name and a text": ("name", "text"),
        "nested": {"0.weight": kept["0.weight"]},
    }
    for value in bad.values():
        paddle.save({**kept, "0.bias": kept["0.bias"] + 1, "0.weight": value}, str(path))
        assert isinstance(reads_or_refuses(lambda file: load_weights(target, file), path), UserError)
    for name, value in target.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), kept[name])
    record_property("cases", len(bad))


@pytest.mark.parametrize("error", [MemoryError, PermissionError])
def test_a_machine_in_trouble_is_no_damaged_file(error, tmp_path, monkeypatch):
    torch = pytest.importorskip("torch", reason="PyTorch reads its own files only")

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(torch, "load", fail)
    monkeypatch.setattr("paddleseg_ext.weights.paddle_file._Reader.load", fail)
    path = tmp_path / "weights"
    path.write_bytes(b"any")
    for read in (read_state_dict, load_paddle_file):
        with pytest.raises(error):
            read(str(path))


def test_damaged_pytorch_files(tmp_path, record_property):
    torch = pytest.importorskip("torch", reason="PyTorch reads its own files only")
    path = tmp_path / "weights.pt"
    torch.save({"stom.0.weight": torch.ones(2, 3)}, path)
    content = path.read_bytes()

    def check():
        assert isinstance(reads_or_refuses(read_state_dict, path), (dict, UserError))

    for_each_damage(path, content, check)
    record_property("cases", EXAMPLES)
