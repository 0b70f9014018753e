"""Exported folders behind one interface, and what is wrong with them in one line."""

import shutil

import numpy as np
import pytest
import yaml
from deploy_support import export_folder, network, pictures

from paddleseg_ext.command import UserError
from paddleseg_ext.deploy import runtimes
from paddleseg_ext.deploy.runtimes import Deployment, EagerSession

pytest.importorskip("onnxruntime")
pytest.importorskip("paddle2onnx")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    export_folder(folder, onnx=True)
    return folder


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


@pytest.mark.parametrize("backend", ["inference", "onnxruntime"])
def test_labels_of_three_sizes(folder, backend):
    session = Deployment(str(folder)).session(backend, threads=1)
    eager = EagerSession(network())
    for picture in pictures():
        labels = session(picture)
        assert labels.shape == (1, *picture.shape[2:]) and labels.dtype == np.int32
        assert (labels == eager(picture).argmax(1)).mean() >= 0.9999


def test_weights_are_hashed_once(folder, monkeypatch):
    deployment, hashed = Deployment(str(folder)), []
    real = runtimes.file_digest
    monkeypatch.setattr(runtimes, "file_digest", lambda path: hashed.append(path) or real(path))
    deployment.session("onnxruntime")
    assert hashed == [str(folder / "model.onnx")]


def test_description(folder):
    deployment = Deployment(str(folder))
    assert deployment.output_op == "argmax"
    assert deployment.input_shape == [-1, 3, -1, -1]
    assert deployment.transforms({"img": np.zeros((8, 6, 3), np.float32)})["img"].shape == (3, 8, 6)


@pytest.mark.parametrize("missing", ["deploy.yaml", "model.pdiparams", "model.onnx"])
def test_missing_file(copy, missing):
    (copy / missing).unlink()
    with pytest.raises(UserError, match=f"{missing}: there is no such file"):
        Deployment(str(copy)).session("onnxruntime")


def test_not_a_description(copy):
    (copy / "deploy.yaml").write_text("Deploy: nothing\n")
    with pytest.raises(UserError, match="deploy.yaml: not as export writes it"):
        Deployment(str(copy))


def as_paddleseg_exports(copy):
    """Take out of deploy.yaml what only our export writes."""
    description = yaml.safe_load((copy / "deploy.yaml").read_text())
    del description["Deploy"]["sha256"]
    (copy / "deploy.yaml").write_text(yaml.safe_dump(description))


def test_onnx_of_another_network(copy):
    as_paddleseg_exports(copy)
    params = copy / "model.pdiparams"
    params.write_bytes(params.read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(UserError, match="model.onnx: it was made from another network"):
        Deployment(str(copy)).session("onnxruntime")


@pytest.mark.parametrize("backend, name", [("inference", "model.pdiparams"), ("onnxruntime", "model.onnx")])
def test_damaged_file(copy, backend, name):
    (copy / name).write_bytes(b"nothing of the kind")
    with pytest.raises(UserError, match=f"{name}: changed since its export"):
        Deployment(str(copy)).session(backend)
    as_paddleseg_exports(copy)
    with pytest.raises(UserError, match=f"{name}: .* cannot load it|model.*: Paddle Inference cannot load it"):
        Deployment(str(copy)).session(backend)


@pytest.mark.parametrize("backend", ["inference", "onnxruntime"])
def test_input_that_does_not_fit(folder, backend):
    session = Deployment(str(folder)).session(backend)
    with pytest.raises(UserError, match=r"exported for an input of \?x3x\?x\?, not of 1x5x32x32"):
        session(np.zeros((1, 5, 32, 32), np.float32))
    with pytest.raises(UserError, match=f"{backend}: the network does not take an input of 1x3x0x32"):
        session(np.zeros((1, 3, 0, 32), np.float32))


def test_precision_that_a_backend_lacks(folder):
    deployment = Deployment(str(folder))
    with pytest.raises(UserError, match="--precision bfloat16"):
        deployment.session("onnxruntime", precision="bfloat16")
    with pytest.raises(UserError, match="--precision int8"):
        deployment.session("inference", precision="int8")


def test_bfloat16_is_close(folder):
    session = Deployment(str(folder)).session("inference", precision="bfloat16")
    for picture in pictures():  # 0.992 to 0.997 are measured
        assert (session(picture) == EagerSession(network())(picture).argmax(1)).mean() > 0.98
