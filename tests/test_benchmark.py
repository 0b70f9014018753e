"""tools/benchmark.py: small runs of each subject, and the report."""

import importlib.util
import json
import runpy
import sys
import time
from dataclasses import asdict
from pathlib import Path
from unittest import mock

import paddle
import pytest
import yaml
from deploy_support import export_folder
from picture_support import SANET, write_config, write_dataset
from process_support import in_forked_process

from paddleseg_ext import cpu
from paddleseg_ext.benchmarks import inference, inference_report, losses, measuring, mkl, training
from paddleseg_ext.benchmarks.encoding import FLOOR, OURS, PADDLESEG, Cost, ratio_rows
from paddleseg_ext.boundary import squared_distances
from paddleseg_ext.command import UserError
from paddleseg_ext.deploy import exporting, streaming
from paddleseg_ext.losses import active_boundary

ROOT = Path(__file__).resolve().parents[1]


def run_benchmark(*arguments, in_process=in_forked_process):
    tool = runpy.run_path(str(ROOT / "tools/benchmark.py"))
    flags = mock.patch.object(sys, "argv", ["benchmark", *map(str, arguments)])
    with flags, mock.patch.object(measuring, "in_fresh_process", in_process):
        tool["main"](tool["parse_args"]())


def read_report(folder, name):
    report = json.loads((folder / f"{name}.json").read_text())
    assert {"processor", "threads", "device", "paddlepaddle", "python"} <= set(report["conditions"])
    assert (folder / f"{name}.md").read_text().startswith(f"# Benchmark: {name}\n\n| ")
    return report["figures"]


def test_timing():
    timing = measuring.repeat(lambda: time.sleep(0.01), 1, 5)
    assert 0.01 <= timing.low <= timing.median <= timing.high < 0.1 and timing.runs == 5
    assert measuring.summarise([1, 2, 3, 4, 15]).median == 3
    assert measuring.summarise([1, 2, 3, 4, 15]).mean == 5


def test_ddrnet_protocol(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(inference.time, "perf_counter", lambda: now[0])
    timing = inference.ddrnet_protocol(lambda: now.__setitem__(0, now[0] + 0.3))
    assert timing.runs == 20  # six seconds of them
    assert timing.low == timing.median == timing.high == timing.mean == pytest.approx(0.3)
    assert now[0] == pytest.approx(0.3 * (10 + 1 + 2 + 4 + 20))  # to warm up, on trial, in earnest


def test_failure_in_a_process_is_one_row():
    figure = inference.measured({"network": "x"}, int, 1, "not a number")
    assert figure["network"] == "x" and "failed" in figure
    assert inference_report.report_row({**figure, "size": "1x1"})["latency"].startswith("failed: ")


def test_a_network_that_cannot_be_prepared_does_not_stop_the_others(tmp_path):
    def in_process(threads, function, name, *args):
        if name == "SANet-S":
            raise RuntimeError("no memory")
        if function is inference.prepare:
            return {"parameters": 1}
        return {**asdict(measuring.summarise([1.0])), "peak_memory": 1, "label_agreement": 0.0}

    def run(*networks):
        flags = ("--backends", "inference", "--sizes", "64x64", "--save_dir", tmp_path)
        run_benchmark("inference", "--networks", *networks, *flags, in_process=in_process)
        return read_report(tmp_path, "inference")

    failed, measured = run("SANet-S", "BiSeNetV2")
    assert failed["backend"] == "inference" and failed["failed"] == "no memory" and measured["median"] == 1
    assert " 0.000% |" in (tmp_path / "inference.md").read_text()
    run("SANet-S")
    assert json.loads((tmp_path / "inference.json").read_text())["notes"][1:] == []
    (tmp_path / "wrong.yml").write_text("model: [")
    with pytest.raises(UserError, match="wrong.yml"):
        run("BiSeNetV2", tmp_path / "wrong.yml")


def test_what_cannot_be_onnx_keeps_its_weights(tmp_path, monkeypatch):
    def refuse(deployment):
        raise UserError("paddle2onnx cannot convert this network")

    monkeypatch.setattr(exporting, "write_onnx", refuse)
    network = (str(write_config(tmp_path, type="FoldingCases")), [1, 3, 32, 48], False, str(tmp_path))
    inference.prepare(*network, ["inference", "onnxruntime"])
    figure = inference.measure(1, *network, "inference", "cpu", ("median", 0, 1))
    assert figure["label_agreement"] >= 0.999


def test_comparisons():
    """With threads in the innermost loop, as the benchmark measures; batch norms are another group."""
    about = {"network": "SANet-S", "size": "64x64", "batch": 1, "batch norms": "folded"}
    medians = {"paddle": (1.6, 0.8), "onnxruntime": (0.6, 0.4), "onnxruntime:int8": (0.2, 0.1)}
    figures = [
        {**about, "backend": backend, "threads": threads, "median": median}
        for backend, of_threads in medians.items()
        for threads, median in zip((1, 2), of_threads)
    ]
    figures += [
        {**about, "threads": 2, "batch norms": "kept", "backend": "inference", "median": 0.3},
        {**about, "threads": 2, "network": "m:f", "backend": "torch, labels", "median": 0.6},
        {**about, "threads": 2, "backend": "inference", "failed": "reason"},
    ]
    (lines,) = inference_report.comparisons(figures)
    assert lines.splitlines() == [
        "- SANet-S, 64x64, batch 1, batch norms folded, 1 threads: fastest in float32 is onnxruntime, 600 ms; "
        "onnxruntime:int8 is 3.00 times as fast as onnxruntime",
        "- SANet-S, 64x64, batch 1, batch norms folded, 2 threads: fastest in float32 is onnxruntime, 400 ms; "
        "1.50 times as fast as m:f (torch, labels); onnxruntime:int8 is 4.00 times as fast as onnxruntime",
        "- SANet-S, 64x64, batch 1, batch norms kept, 2 threads: fastest in float32 is inference, 300 ms; "
        "2.00 times as fast as m:f (torch, labels)",
    ]


def test_plot(tmp_path, capsys):
    about = {"size": "1024x2048", "threads": 2, "backend": "onnxruntime"}
    figures = [{**about, "network": name, "median": 0.1 + 0.1 * i} for i, name in enumerate(inference_report.NETWORKS)]
    inference_report.plot(figures, str(tmp_path / "plot.png"))
    assert (tmp_path / "plot.png").stat().st_size > 10_000
    inference_report.plot([{**figure, "size": "64x64"} for figure in figures], str(tmp_path / "none.png"))
    assert "known at 1024x2048 only" in capsys.readouterr().out and not (tmp_path / "none.png").exists()


@pytest.mark.parametrize("flags", [["--networks", "SANetS"], ["--sizes", "64"]])
def test_wrong_flags(flags, tmp_path):
    with pytest.raises(UserError, match=flags[0]):
        run_benchmark("inference", "--save_dir", tmp_path, *flags)


BACKENDS = ["paddle", "inference", "onnxruntime"]


@pytest.fixture(scope="module")
def inference_figures(tmp_path_factory):
    """Of a network of PaddleSeg's on each backend, and of one in PyTorch if that is installed."""
    pytest.importorskip("paddle2onnx")
    folder, torch = tmp_path_factory.mktemp("inference"), []
    if importlib.util.find_spec("torch"):
        (folder / "their_network.py").write_text(
            "import torch\n\ndef make():\n    return torch.nn.Conv2d(3, 19, 8, 8)\n"
        )
        torch = ["--torch", "their_network:make", "--torch_path", folder]
    run_benchmark(
        *("inference", "--networks", "BiSeNetV2", "--sizes", "64x128", "--backends", *BACKENDS, "--threads", 1),
        *("--runs", 2, "--warm_up", 1, *torch, "--save_dir", folder),
    )
    return read_report(folder, "inference")


@pytest.mark.slow
def test_inference(inference_figures):
    figures = inference_figures[: len(BACKENDS)]
    assert [figure["backend"] for figure in figures] == BACKENDS
    for figure in figures:
        assert figure["label_agreement"] >= 0.999 and figure["median"] > 0 and figure["peak_memory"] > 1e8
        assert figure["multiply_adds"] > 1e8 and 2e6 < figure["parameters"] < 6e6


@pytest.mark.slow
def test_torch_network(inference_figures):
    pytest.importorskip("torch")
    figures = inference_figures[len(BACKENDS) :]
    assert [figure["backend"] for figure in figures] == ["torch, labels", "torch, as returned"]
    assert not any("failed" in figure for figure in figures)


@pytest.mark.slow
@pytest.mark.parametrize("synthetic", [[], ["--synthetic", 1, 96, 64]])
def test_training(synthetic, tmp_path):
    path = write_config(write_dataset(tmp_path / "data"), **{**SANET, "outputs": ["main", "boundary"]})
    config = yaml.safe_load(path.read_text())
    config["train_dataset"]["transforms"].insert(0, {"type": "AddEdgeLabel"})
    config["loss"] = {"types": [{"type": "CrossEntropyLoss"}, {"type": "BCELoss", "edge_label": True}], "coef": [1, 1]}
    path.write_text(yaml.safe_dump(config))
    run_benchmark("training", "--config", path, *synthetic, "--runs", 1, "--save_dir", tmp_path)
    (figure,) = read_report(tmp_path, "training")
    parts = [figure[part]["median"] for part in ("data", "forward", "losses", "backward", "update")]
    assert min(parts) > 0 and sum(parts) == pytest.approx(figure["step"])


def test_a_train_set_smaller_than_a_batch(tmp_path):
    path = write_config(write_dataset(tmp_path, count=1), **{**SANET, "outputs": ["main"]})
    path.write_text(path.read_text().replace("batch_size: 1", "batch_size: 2"))
    with pytest.raises(UserError, match="config.yml: batch_size 2 is more than the 1 images"):
        training.measure(str(path), None, "cpu", 0, 1)


@pytest.mark.slow
def test_mkl(tmp_path, monkeypatch):
    monkeypatch.setattr(mkl, "is_amd_with_avx2", lambda: True)
    monkeypatch.setenv(cpu.VARIABLE, "4")  # what the processes see is the benchmark's own choice
    path = write_config(write_dataset(tmp_path / "data"), **{**SANET, "outputs": ["main"]})
    flags = ("--synthetic", 1, 64, 64, "--rounds", 1, "--runs", 1, "--save_dir", tmp_path)
    run_benchmark("mkl", "--config", path, *flags, in_process=measuring.in_fresh_process)
    kernels, seconds = zip(*(figure.values() for figure in read_report(tmp_path, "mkl")))
    assert kernels == (mkl.OWN_CHOICE, mkl.CHOSEN) and min(seconds) > 0


def test_mkl_elsewhere(monkeypatch):
    monkeypatch.setattr(mkl, "is_amd_with_avx2", lambda: False)
    with pytest.raises(UserError, match="not an AMD processor"):
        run_benchmark("mkl")


def test_ratios_of_the_encoding():
    costs = {FLOOR: Cost(0.5, 10_000_000), OURS: Cost(1.0, 0), PADDLESEG: Cost(60.0, 200_000_000)}
    floor, ours, theirs = ratio_rows("layer", costs)
    assert [ours[key] for key in ("faster than PaddleSeg's", "time / matrix products")] == ["60.0x", "2.00"]
    assert [row["less than PaddleSeg's"] for row in (floor, ours, theirs)] == ["20.0x", None, "1.0x"]


@pytest.mark.slow
def test_encoding(tmp_path, capsys):
    flags = f"--shape 2 64 24 24 --crop 2 64 64 --num_codes 16 --save_dir {tmp_path}"
    run_benchmark("encoding", *flags.split())
    rows = [[cell.strip() for cell in line.split("|")] for line in capsys.readouterr().out.splitlines() if "|" in line]
    assert [row[2] for row in rows[2:]] == [FLOOR, OURS, PADDLESEG, OURS, PADDLESEG]
    assert (tmp_path / "encoding.json").is_file()


def test_distances_by_scipy(monkeypatch):
    monkeypatch.setattr(active_boundary, "squared_distances", squared_distances)  # which the benchmark replaces
    losses.measure_distances_by_scipy()
    paddle.seed(0)
    marks = paddle.rand([2, 20, 30]) > 0.95
    image = paddle.to_tensor([0, 1, 1]).reshape([3, 1, 1])
    rows = paddle.to_tensor([2, 9, 15]).reshape([3, 1, 1]) + paddle.arange(5).reshape([1, 5, 1])
    columns = paddle.to_tensor([0, 20, 7]).reshape([3, 1, 1]) + paddle.arange(5).reshape([1, 1, 5])
    found = active_boundary.squared_distances(marks, (image, rows, columns))
    assert found.tolist() == squared_distances(marks, (image, rows, columns)).tolist()


@pytest.mark.slow
def test_losses_and_boundary(tmp_path):
    names = ["CrossEntropyLoss", "BoundaryBCELoss", "BoundaryAwareOhemCrossEntropyLoss", "EncodingBCELoss"]
    run_benchmark("losses", "--losses", *names, "--shape", 1, 4, 32, 48, "--runs", 1, "--save_dir", tmp_path)
    assert [figure["loss"] for figure in read_report(tmp_path, "losses")] == names
    run_benchmark("boundary", "--shape", 1, 32, 48, "--runs", 1, "--num_classes", 4, "--save_dir", tmp_path)
    assert len(read_report(tmp_path, "boundary")) == 4


@pytest.mark.slow
def test_streaming(tmp_path):
    export_folder(tmp_path / "exported")
    run_benchmark(
        *("streaming", "--model_dir", tmp_path / "exported", "--backend", "inference", "--num_images", 6),
        *("--size", 64, 32, "--threads", 1, "--save_dir", tmp_path),
    )
    (figure,) = read_report(tmp_path, "streaming")
    assert figure["bare"] > 0 and figure["streaming"] > 0


@pytest.mark.parametrize("output_op, told", [("none", "export with --output_op argmax"), ("argmax", "0.png: full")])
def test_streaming_that_fails(output_op, told, tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "predict_pictures", lambda *_: streaming.Summary(seconds=1, failed=["0.png: full"]))
    export_folder(tmp_path, output_op=output_op)
    flags = ("--backend", "inference", "--num_images", 1, "--size", 48, 32, "--threads", 1, "--save_dir", tmp_path)
    with pytest.raises(UserError, match=told):
        run_benchmark("streaming", "--model_dir", tmp_path, *flags, in_process=lambda _, measure, args: measure(args))


@pytest.mark.slow
def test_watching(tmp_path):
    config = write_config(write_dataset(tmp_path / "data", count=4), **SANET)
    run_benchmark("watching", "--config", config, "--num_images", 3, "--runs", 2, "--save_dir", tmp_path)
    (figure,) = read_report(tmp_path, "watching")
    assert figure["images"] == 3 and min(figure["plain"], figure["watched"], figure["ratio"]) > 0
