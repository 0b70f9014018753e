"""Measure everything that docs/speed.md shows, in one run, into docs/results/speed.json and docs/speed_accuracy.png.

    python docs/scripts/measure_speed.py

The networks and backends side by side, SANet-S in PyTorch among them; where the time of a training step goes; a
training step of that network in Paddle and in PyTorch; and a folder of images. Nothing else should run on the machine.
make_figures.py makes the tables of it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path

from shared import ROOT, tool, write_result

from paddleseg_ext.command import UserError, run

DOCS = ROOT / "docs"
RECIPE = "configs/sanet/sanet_s_camvid_320x240_2k.yml"
STREET = "configs/sanet/sanet_s_street_256x128_230.yml"
TWIN = "torch_sanet:SANetS"
CLASSES = 11


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["SANet-S", "PPLiteSeg-STDC1", "DDRNet_23", "BiSeNetV2"])
    parser.add_argument("--size", default="1024x2048", help="of inference (default: %(default)s)")
    parser.add_argument("--step", nargs=3, type=int, default=[4, 320, 240], metavar=("N", "W", "H"))
    parser.add_argument("--threads", type=int, default=2, help="(default: %(default)s)")
    parser.add_argument("--runs", type=int, default=7, help="of which the median counts (default: %(default)s)")
    parser.add_argument("--num_images", type=int, default=300, help="in the folder (default: %(default)s)")
    return parser.parse_args()


def main(args):
    import torch  # noqa: F401  whoever lacks it should know at the start

    from paddleseg_ext.benchmarks.measuring import in_fresh_process

    step, threads, runs = [str(number) for number in args.step], str(args.threads), str(args.runs)
    with tempfile.TemporaryDirectory() as folder:

        def benchmark(subject: str, *flags: str) -> dict:
            tool("benchmark", subject, *flags, "--threads", threads, "--save_dir", folder)
            return json.loads(Path(folder, f"{subject}.json").read_text())

        inference = benchmark(
            *("inference", "--networks", *args.networks, "--sizes", args.size, "--warm_up", "2", "--runs", runs),
            *("--backends", "inference", "onnxruntime", "onnxruntime:int8"),
            *("--torch", TWIN, "--torch_path", str(Path(__file__).parent)),
        )
        for figure in inference["figures"]:
            if figure["network"] == TWIN:
                figure["network"] = "SANet-S in PyTorch"
            if "failed" in figure:
                raise UserError(f"{figure['network']}, {figure['backend']}: {figure['failed']}")
        training = benchmark("training", "--config", RECIPE, "--synthetic", *step, "--runs", runs)
        frameworks = {
            name: in_fresh_process(args.threads, measure, args.step, args.threads, args.runs)
            for name, measure in (("Paddle", paddle_step), ("PyTorch", torch_step))
        }
        tool("export", "--config", STREET, "--fold_bn", "--onnx", "--save_dir", f"{folder}/street")
        streaming = benchmark("streaming", "--model_dir", f"{folder}/street", "--num_images", str(args.num_images))
        picture = Path(folder, "speed_accuracy.png")
        if picture.is_file():
            shutil.copyfile(picture, DOCS / picture.name)
    result = {
        "command": "python docs/scripts/measure_speed.py",
        "conditions": inference["conditions"],
        "step": {"batch": args.step[0], "width": args.step[1], "height": args.step[2], "config": RECIPE},
        "inference": inference["figures"],
        "training": training["figures"][0],
        "frameworks": frameworks,
        "streaming": streaming["figures"][0],
    }
    result["summary"] = summary(result)
    write_result("speed", result)


def summary(result: dict) -> dict[str, float]:
    """What the text of the page quotes."""
    ours, int8, torch = (
        next(f["median"] for f in result["inference"] if f["backend"] == backend and "SANet-S" in f["network"])
        for backend in ("onnxruntime", "onnxruntime:int8", "torch, labels")
    )
    return {
        "sanet_s_ms": 1e3 * ours,
        "int8_times_as_fast": ours / int8,
        "times_as_fast_as_pytorch": torch / ours,
    }


def example(step: list[int]):
    """Images (N, 3, H, W), labels and boundary labels (N, H, W)."""
    import numpy as np

    batch, width, height = step
    random = np.random.default_rng(0)
    pictures = random.standard_normal((batch, 3, height, width)).astype(np.float32)
    labels = random.integers(0, CLASSES, (batch, height, width))
    return pictures, labels, (labels[:, None] == 0).astype(np.float32)


def paddle_step(step: list[int], threads: int, runs: int) -> dict:
    """Seconds of a training step of SANet-S by cross entropy on main and auxiliary, and BCE on boundary logits."""
    import paddle
    import paddle.nn.functional as F

    from paddleseg_ext import SANet

    paddle.set_device("cpu")
    network = SANet(CLASSES, outputs=["main", "aux", "boundary"])
    optimizer = paddle.optimizer.Momentum(0.01, 0.9, network.parameters(), weight_decay=5e-4)
    pictures, labels, boundary = map(paddle.to_tensor, example(step))

    def train():
        main_logits, aux_logits, boundary_logits = network(pictures)
        loss = F.cross_entropy(main_logits, labels.unsqueeze(1), axis=1)
        loss = loss + 0.4 * F.cross_entropy(aux_logits, labels.unsqueeze(1), axis=1)
        loss = loss + F.binary_cross_entropy_with_logits(boundary_logits, boundary)
        loss.backward()
        optimizer.step()
        optimizer.clear_grad()
        return float(loss)

    return measured(train, runs)


def torch_step(step: list[int], threads: int, runs: int) -> dict:
    """The same step in PyTorch."""
    import torch
    import torch.nn.functional as F
    from torch_sanet import SANetS

    torch.set_num_threads(threads)
    network = SANetS(CLASSES)
    optimizer = torch.optim.SGD(network.parameters(), 0.01, 0.9, weight_decay=5e-4)
    pictures, labels, boundary = map(torch.from_numpy, example(step))

    def train():
        main_logits, aux_logits, boundary_logits = network(pictures)
        loss = F.cross_entropy(main_logits, labels) + 0.4 * F.cross_entropy(aux_logits, labels)
        loss = loss + F.binary_cross_entropy_with_logits(boundary_logits, boundary)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return float(loss)

    return measured(train, runs)


def measured(train, runs: int) -> dict:
    from paddleseg_ext.benchmarks.measuring import peak_memory, repeat

    return {**asdict(repeat(train, 1, runs)), "peak_memory": peak_memory()}


if __name__ == "__main__":
    run(main, parse_args)
