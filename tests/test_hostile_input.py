"""Configs and exported folders from strangers: cut short, with bytes flipped, or written to harm.

Each is read as usual or refused in one line; none runs code, hangs, takes much memory or leaves a file behind.
`record_property("cases", n)` tells tests/reliability.py how many hostile files a test made.
"""

import importlib
import os
import shutil
from pathlib import Path

import numpy as np
import paddle
import pytest
import yaml
from deploy_support import export_folder, network
from hostile_support import EXAMPLES, damage, damages, for_each_damage, fuzzed, reads_or_refuses
from hypothesis import given
from hypothesis import strategies as st
from picture_support import run_tool, write_config, write_dataset

from paddleseg_ext.builder import load_config
from paddleseg_ext.command import UserError
from paddleseg_ext.deploy.runtimes import Deployment

# ------------------------------------------------------------------------------------------------------ configs


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return write_config(write_dataset(tmp_path_factory.mktemp("data"))).read_bytes()


def test_damaged_configs(config, tmp_path, record_property):
    path = tmp_path / "config.yml"
    ends = range(0, len(config), 5)
    for end in ends:
        path.write_bytes(config[:end])
        reads_or_refuses(load_config, path)

    @fuzzed
    @given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
    def anything(content):
        path.write_bytes(content)
        reads_or_refuses(load_config, path)

    for_each_damage(path, config, lambda: reads_or_refuses(load_config, path))
    anything()
    record_property("cases", len(ends) + 2 * EXAMPLES)


HARMFUL_YAML = {
    "code": "model: !!python/object/apply:os.system ['touch harm']",
    "a module": "model: !!python/module:antigravity",
    "a name": "model: !!python/name:os.system",
    "aliases that double 60 times": "a0: &a0 [1]\n"
    + "".join(f"a{i + 1}: &a{i + 1} [*a{i}, *a{i}]\n" for i in range(60)),
    "an alias of itself": "model: &m {a: *m}",
    "10,000 lists in lists": "a: " + "[" * 10_000,
    "a number of a million digits": "iters: " + "9" * 1_000_000,
    "a list": "- 1",
    "a text": "config",
    "nothing": "",
    "only a comment": "# nothing",
    "based on itself": "_base_: config.yml",
    "based on a folder": "_base_: .",
    "based on nothing": "_base_: other.yml",
    "based on a number": "_base_: [1]",
    "based on a dict": "_base_: {a: 1}",
    "based on no value": "_base_:",
    "iterations of text": "iters: many\nbatch_size: 1",
    "model of text": "model: 1",
    "not UTF-8": b"model: \xff\xfe",
    "NUL": b"model: \x00",
}


@pytest.mark.parametrize("case", HARMFUL_YAML)
def test_harmful_configs(case, tmp_path, record_property, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path, content = tmp_path / "config.yml", HARMFUL_YAML[case]
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert isinstance(reads_or_refuses(load_config, path), UserError)
    record_property("cases", 1)


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"iters": "1e3"}, "iters: YAML takes '1e3' for text: write 1000"),
        ({"lr_scheduler": {"learning_rate": "1e-3"}}, "lr_scheduler.learning_rate: .*'1e-3' for text: write 0.001"),
        ({"optimizer": {"weight_decay": "4e-5"}}, "optimizer.weight_decay: .*'4e-5' for text: write 4.0e-05"),
        ({"batch_size": "four"}, "batch_size: 'four' is no number: write a whole one"),
    ],
)
def test_numbers_that_are_text(config, changes, told, tmp_path):
    path, content = tmp_path / "config.yml", yaml.safe_load(config)
    for key, value in changes.items():
        content[key] = {**content[key], **value} if isinstance(value, dict) else value
    path.write_text(yaml.safe_dump(content).replace("'", ""))
    with pytest.raises(UserError, match=f"config.yml: .*{told}"):
        load_config(str(path))


def test_bases_in_a_circle(tmp_path, record_property):
    (tmp_path / "a.yml").write_text("_base_: b.yml")
    (tmp_path / "b.yml").write_text("_base_: ./a.yml")
    with pytest.raises(UserError, match="b.yml: its _base_ .*a.yml is based on this file"):
        load_config(str(tmp_path / "a.yml"))
    record_property("cases", 1)


# ---------------------------------------------------------------------------------------------- exported folders


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    export_folder(folder, onnx=importlib.util.find_spec("paddle2onnx") is not None)
    return folder


def test_damaged_descriptions(exported, tmp_path, record_property):
    path = Path(shutil.copytree(exported, tmp_path / "copy"), "deploy.yaml")
    content = path.read_bytes()
    for end in range(len(content)):
        path.write_bytes(content[:end])
        describes_or_refuses(path)

    for_each_damage(path, content, lambda: describes_or_refuses(path))
    record_property("cases", len(content) + EXAMPLES)


def describes_or_refuses(path):
    """A `Deployment` of the folder of `path`, or an error about any of its files."""
    try:
        reads_or_refuses(lambda file: Deployment(os.path.dirname(file)), path)
    except AssertionError as error:
        if not isinstance(error.args[0], UserError) or str(path.parent) not in str(error.args[0]):
            raise


@pytest.mark.parametrize("name", ["../model.json", "/etc/hostname", "a\0b", "", ".", 3, None, ["model.json"]])
def test_descriptions_that_lead_elsewhere(name, exported, tmp_path, record_property):
    path = Path(shutil.copytree(exported, tmp_path / "copy"), "deploy.yaml")
    description = yaml.safe_load(path.read_text())
    for key in ("model", "params"):
        path.write_text(yaml.safe_dump({"Deploy": {**description["Deploy"], key: name}}))
        assert isinstance(reads_or_refuses(lambda file: Deployment(os.path.dirname(file)), path), UserError)
    record_property("cases", 2)


def test_damaged_networks_are_not_opened(exported, tmp_path, record_property):
    copy = Path(shutil.copytree(exported, tmp_path / "copy"))
    backends = {"model.pdiparams": "inference", "model.json": "inference", "model.pdmodel": "inference"}
    backends = {name: one for name, one in {**backends, "model.onnx": "onnxruntime"}.items() if (copy / name).exists()}
    assert len(backends) >= 2
    originals = {name: (copy / name).read_bytes() for name in backends}

    @fuzzed
    @given(st.sampled_from(sorted(backends)), st.data())
    def changed(name, data):
        content = originals[name]
        damaged = damage(content, data.draw(damages(len(content))))
        (copy / name).write_bytes(damaged)
        try:
            if damaged != content:
                opened = reads_or_refuses(lambda _: Deployment(str(copy)).session(backends[name]), copy / name)
                assert "changed since its export" in str(opened)
        finally:
            (copy / name).write_bytes(content)

    changed()
    record_property("cases", EXAMPLES)
    assert Deployment(str(copy)).session("inference", threads=1)(np.zeros((1, 3, 8, 8), np.float32)).shape == (1, 8, 8)


def test_a_refused_network_leaves_no_export(tmp_path, record_property):
    """Export writes whole folders or nothing: a network whose weights are damaged."""
    weights = tmp_path / "weights.pdparams"
    paddle.save(network().state_dict(), str(weights))
    weights.write_bytes(weights.read_bytes()[:-100])
    data = write_dataset(tmp_path / "data", count=1)
    with pytest.raises(UserError, match="weights.pdparams: not a whole file"):
        run_tool(
            "export", config=write_config(data, type="FoldingCases"), model_path=weights, save_dir=tmp_path / "out"
        )
    assert not (tmp_path / "out").exists()
    record_property("cases", 1)
