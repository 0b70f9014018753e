"""Several processes by Paddle's own launcher: equal weights, right gradients, nothing unused, nothing that hangs."""

import json
import math
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle import nn

from paddleseg_ext import SANet, SANetEncoder
from paddleseg_ext.builder import Builder, load_config
from paddleseg_ext.street.dataset import make_street_dataset

ROOT = Path(__file__).resolve().parents[1]
STREET = ROOT / "configs/sanet/sanet_s_street_256x128_230.yml"
CONFIGS = {  # with all losses
    "SANet": ROOT / "configs/sanet/sanet_s_cityscapes_1024x1024_120k.yml",
    "SANet, boundaries by class": ROOT / "configs/sanet/sanet_s_multiclass_boundary_cityscapes_1024x1024_120k.yml",
    "EncNet": ROOT / "configs/encnet/encnet_resnet18_os16_street_256x128_400.yml",
}
TOLERANCE = 1e-4  # of gradients: of the largest in the same parameter
STATISTICS = ("._mean", "._variance")


def launch(folder, nodes, script, *arguments, timeout=240):
    """Run a script in two processes, of one node or of two on this machine; returns what each node printed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        master = f"127.0.0.1:{free.getsockname()[1]}"
    running, environment = [], {**os.environ, "OMP_NUM_THREADS": "1"}
    for node in range(nodes):
        command = [sys.executable, "-m", "paddle.distributed.launch", "--nproc_per_node", str(2 // nodes)]
        if nodes > 1:
            command += ["--nnodes", str(nodes), "--master", master, "--rank", str(node)]
        command += ["--log_dir", str(folder / f"log{node}"), str(script), *map(str, arguments)]
        with open(folder / f"node{node}.txt", "w") as told:
            running.append(
                subprocess.Popen(command, stdout=told, stderr=subprocess.STDOUT, cwd=folder, env=environment)
            )
    deadline = time.monotonic() + timeout
    try:
        while any(node.poll() is None for node in running) and time.monotonic() < deadline:
            if any(node.returncode for node in running):
                break  # the others would wait for it
            time.sleep(0.1)
        status = [node.poll() for node in running]  # None: still running
    finally:
        for node in running:
            node.terminate()  # a launcher that is killed leaves its processes behind
        for node in running:
            node.wait(60)
    paths = sorted([*folder.glob("node*.txt"), *folder.glob("log*/workerlog.*")])
    logs = "\n".join(f"{path}:\n{path.read_text(errors='replace')[-3000:]}" for path in paths)
    assert status == [0] * nodes, f"{status} after {timeout} s at most\n{logs}"
    return [(folder / f"node{node}.txt").read_text() for node in range(nodes)]


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """What each of two ranks tells about its trainings and gradients, see `data/two_ranks.py`."""
    folder = tmp_path_factory.mktemp("ranks")
    launch(folder, 1, ROOT / "tests" / "data" / "two_ranks.py", folder)
    told = [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(2)]
    assert [rank["ranks"] for rank in told] == [2, 2]
    return told


@pytest.mark.slow
@pytest.mark.parametrize("network", CONFIGS)
@pytest.mark.parametrize("case", ["both learn", "one learns"])
def test_parameters_stay_equal(case, network, ranks, record_property):
    """Bit for bit, from different starts. The statistics of batch norms differ on a CPU, which has no SyncBatchNorm."""
    first, second = (rank[case][network] for rank in ranks)
    trained = [name for name in first["end"] if not name.endswith(STATISTICS)]
    assert len(trained) > 100
    assert any(first["start"][name] != second["start"][name] for name in trained)
    assert [name for name in trained if first["end"][name] == first["start"][name]] == []
    assert [name for name in trained if first["end"][name] != second["end"][name]] == []
    record_property("cases", len(trained))


@pytest.mark.slow
@pytest.mark.parametrize("network", CONFIGS)
def test_statistics_start_equal(network, ranks, record_property):
    first, second = (rank["gradients"][network]["state"] for rank in ranks)
    assert len([name for name in first if name.endswith(STATISTICS)]) > 40
    assert first == second
    record_property("cases", len(first))


@pytest.mark.slow
@pytest.mark.parametrize("network", CONFIGS)
def test_two_ranks_have_the_gradients_of_one_with_both_batches(network, ranks, record_property):
    for rank in ranks:
        gradients = rank["gradients"][network]["gradients"]
        assert len(gradients) > 100
        assert {name: pair for name, pair in gradients.items() if not 0 < pair[1] >= pair[0] / TOLERANCE} == {}
    record_property("cases", 2 * len(gradients))


@pytest.mark.slow
@pytest.mark.parametrize("network", CONFIGS)
def test_rank_with_ignored_pixels_alone_does_not_stop_the_other(network, ranks, record_property):
    learning, idle = (np.array(rank["one learns"][network]["losses"]) for rank in ranks)
    num_losses = len(load_config(str(CONFIGS[network])).loss_cfg["types"])
    assert learning.shape == idle.shape == (4, num_losses)  # 4 steps
    assert (idle == 0).all()
    assert np.isfinite(learning).all() and (learning[:, 0] > 0).all()
    assert all(rank["one learns"][network]["finite"] for rank in ranks)
    record_property("cases", learning.size + idle.size)


@pytest.mark.slow
def test_two_nodes_train_by_the_tool(tmp_path, record_property):
    num_pictures = dict.fromkeys(("train", "val", "test"), 4)
    make_street_dataset(str(tmp_path / "data" / "street"), num_pictures, (256, 128), seed=0, overwrite=False)
    flags = ["--config", STREET, "--device", "cpu", "--batch_size", 1, "--iters", 4, "--log_iters", 1, "--do_eval"]
    first, second = launch(tmp_path, 2, ROOT / "tools" / "train.py", *flags, "--save_dir", "output")
    assert "iter: 4/4" not in second  # the first process of all reports
    assert "epoch: 2, iter: 4/4" in first  # an epoch of 4 images is 2 iterations: the nodes share them
    assert (tmp_path / "output" / "iter_4" / "model.pdopt").is_file()
    assert "[EVAL] #Images: 4 mIoU" in first
    record_property("cases", 4)


def network_of(name):
    paddle.seed(0)
    builder = Builder(load_config(str(CONFIGS[name])))
    return builder.model, builder.loss


@pytest.mark.parametrize("labels", ["valid", "ignored"])
@pytest.mark.parametrize("name", CONFIGS)
def test_every_parameter_gets_a_gradient(name, labels, record_property):
    """Paddle's data parallel training stops at the second step otherwise."""
    network, losses = network_of(name)
    labels = paddle.randint(0, 19, [2, 64, 64]) if labels == "valid" else paddle.full([2, 64, 64], 255, "int64")
    edges = paddle.where(labels == 255, labels, labels % 2)  # as the padding of images has them
    logits = network(paddle.randn([2, 3, 64, 64]))
    loss_computation = sys.modules["paddleseg.core.train"].loss_computation
    loss = sum(loss_computation(logits, labels, edges, losses))
    loss.backward()
    trainable = {name: p for name, p in network.named_parameters() if not p.stop_gradient}
    assert [name for name, p in trainable.items() if p.grad is None] == []
    assert math.isfinite(float(loss))
    assert all(bool(paddle.isfinite(p.grad).all()) for p in trainable.values())
    record_property("cases", len(trainable))


def test_boundary_aware_output_needs_a_boundary_output():
    with pytest.raises(ValueError, match="add 'boundary'"):
        SANet(3, SANetEncoder(base_channels=4), outputs=["main", "boundary_aware"])


def batch_norms(network):
    return [layer for layer in network.sublayers() if hasattr(layer, "_variance")]


@pytest.mark.parametrize("name", CONFIGS)
def test_conversion_to_sync_batch_norm_covers_every_layer(name, monkeypatch, record_property):
    """All outputs stay the same in evaluation. On a CPU, Paddle has no kernel of SyncBatchNorm, so its formula runs."""
    network, _ = network_of(name)
    for layer in batch_norms(network):
        for tensor in (layer.weight, layer.bias, layer._mean, layer._variance):
            tensor.set_value(paddle.uniform(tensor.shape, min=0.5, max=1.5))
    for layer in network.sublayers():
        if layer in batch_norms(network) or isinstance(layer, nn.Dropout):
            layer.eval()
    parameters, count = dict(network.named_parameters()), len(batch_norms(network))
    x = paddle.randn([2, 3, 64, 64])
    expected = [y.numpy() for y in paddle.utils.flatten(network(x))]

    network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    assert [type(layer) for layer in batch_norms(network)] == [nn.SyncBatchNorm] * count
    converted = dict(network.named_parameters())  # the optimizer's parameters are those that learn
    assert {key: id(p) for key, p in converted.items()} == {key: id(p) for key, p in parameters.items()}

    ran = []

    def evaluate(layer, x):
        ran.append(layer)
        layer._check_data_format()
        assert layer._data_format == "NCHW"  # Paddle's name for channels on axis 1, whatever the number of axes
        tensors = (layer._mean, layer._variance, layer.weight, layer.bias)
        mean, variance, weight, bias = (tensor.reshape([1, -1] + [1] * (x.ndim - 2)) for tensor in tensors)
        return (x - mean) / (variance + layer._epsilon).sqrt() * weight + bias

    monkeypatch.setattr(nn.SyncBatchNorm, "forward", evaluate)
    for y, same in zip(paddle.utils.flatten(network(x)), expected):
        np.testing.assert_allclose(y.numpy(), same, rtol=0, atol=1e-5 * np.abs(same).max())
    assert len(ran) == count and set(ran) == set(batch_norms(network))
    record_property("cases", count)
