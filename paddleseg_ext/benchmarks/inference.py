"""Latency of networks × sizes × backends, each measured in a process of its own after the same preparation.

What is timed goes from an image in main memory, already normalised, to its labels at full size in main memory.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from paddleseg_ext.benchmarks import measuring
from paddleseg_ext.benchmarks.inference_report import WHAT_IS_TIMED, comparisons, plot, report_row
from paddleseg_ext.benchmarks.networks import NETWORKS, build
from paddleseg_ext.command import UserError, nearest, one_line

BACKENDS = ("paddle", "inference", "inference:bfloat16", "inference:float16", "onnxruntime", "onnxruntime:int8")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--networks",
        nargs="+",
        default=["SANet-S", "PPLiteSeg-STDC1", "DDRNet_23", "BiSeNetV2"],
        help=f"YAML files, or any of {', '.join(NETWORKS)} (default: %(default)s)",
    )
    parser.add_argument(
        "--backends",
        nargs="+",
        default=["paddle", "inference", "onnxruntime"],
        choices=BACKENDS,
        metavar="BACKEND",
        help=f"any of {', '.join(BACKENDS)} (default: %(default)s)",
    )
    parser.add_argument("--sizes", nargs="+", default=["1024x2048"], help="HEIGHTxWIDTH (default: %(default)s)")
    parser.add_argument("--batch_size", type=int, default=1)
    parser.add_argument("--threads", nargs="+", type=int, default=[os.cpu_count()], help="(default: %(default)s)")
    parser.add_argument(
        "--batch_norms", nargs="+", choices=["folded", "kept"], default=["folded"], help="(default: folded)"
    )
    parser.add_argument(
        "--protocol",
        choices=["median", "ddrnet"],
        default="median",
        help="ddrnet: the mean over six seconds, as DDRNet, PIDNet and SANet print their FPS (default: %(default)s)",
    )
    parser.add_argument("--torch", metavar="MODULE:FACTORY", help="a PyTorch network to measure too")
    parser.add_argument("--torch_path", default=".", help="folder that MODULE is imported from")
    measuring.add_flags(parser, device=True, warm_up=3, runs=15)


def main(args: argparse.Namespace) -> None:
    from paddleseg_ext.builder import load_config

    for name in args.networks:
        if name not in NETWORKS:
            if not os.path.isfile(name):
                raise UserError(f"--networks {name}: no YAML file and no known network; {nearest(name, NETWORKS)}")
            load_config(name)  # a wrong YAML is reported before the processes start
    sizes = [parse_size(size) for size in args.sizes]
    protocol = (args.protocol, args.warm_up, args.runs)
    where = measuring.conditions(args.device, max(args.threads))
    figures = []

    def add(about: dict, threads: int, function, *job) -> None:
        about = {**about, "threads": threads}
        print("{network} {size} {backend}, {threads} threads ...".format(**about), file=sys.stderr)
        if "failed" not in about:
            about = measured(about, function, threads, threads, *job, args.device, protocol)
        figures.append(about)

    for name, (height, width), norms in itertools.product(args.networks, sizes, args.batch_norms):
        shape, label = [args.batch_size, 3, height, width], Path(name).stem
        folder = os.path.join(args.save_dir, "exported", f"{label}_{height}x{width}_{norms}")
        network = (name, shape, norms == "folded", folder)
        about = {"network": label, "size": f"{height}x{width}", "batch": args.batch_size, "batch norms": norms}
        about = measured(about, prepare, max(args.threads), *network, args.backends)
        for backend, threads in itertools.product(args.backends, args.threads):
            add({**about, "backend": backend}, threads, measure, *network, backend)
    if args.torch:
        for (height, width), threads, returned in itertools.product(sizes, args.threads, ("labels", "as returned")):
            about = {"network": args.torch, "size": f"{height}x{width}", "batch": args.batch_size}
            about |= {"batch norms": "as written", "backend": f"torch, {returned}"}
            spec = (args.torch_path, args.torch, returned == "labels")
            add(about, threads, measure_torch, spec, [args.batch_size, 3, height, width])

    notes = [WHAT_IS_TIMED.format(warm_up=args.warm_up, protocol=args.protocol), *comparisons(figures)]
    rows = [report_row(figure) for figure in figures]
    measuring.write_report(args.save_dir, "inference", where, figures, rows, notes)
    plot(figures, os.path.join(args.save_dir, "speed_accuracy.png"))


def parse_size(text: str) -> tuple[int, int]:
    try:
        height, width = (int(side) for side in text.split("x"))
    except ValueError:
        raise UserError(f"--sizes {text}: give HEIGHTxWIDTH, e.g. 1024x2048") from None
    return height, width


def example(shape: list[int]) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def prepare(name: str, shape: list[int], fold: bool, folder: str, backends: list[str]) -> dict:
    """Export a network for the backends; returns its parameters and multiply-adds."""
    import paddle

    from paddleseg_ext.deploy.exporting import export, with_output_op
    from paddleseg_ext.deploy.runtimes import EagerSession

    paddle.seed(0)
    network = build(name)
    picture = example(shape)
    os.makedirs(folder, exist_ok=True)
    np.save(os.path.join(folder, "labels.npy"), EagerSession(with_output_op(network, "argmax"))(picture))
    paddle.save(network.state_dict(), os.path.join(folder, "weights.pdparams"))
    about = {
        "parameters": int(sum(np.prod(p.shape) for p in network.parameters() if not p.stop_gradient)),
        "multiply_adds": int(paddle.flops(network, shape) // shape[0]),
    }
    wanted = [backend for backend in backends if backend != "paddle"]
    onnx = any(backend.startswith("onnxruntime") for backend in wanted)
    precisions = ["int8"] if "onnxruntime:int8" in wanted else []
    options: dict[str, Any] = {"input_shape": shape, "fold": fold, "precisions": precisions, "calibration": [picture]}
    if wanted:
        try:
            export(network, folder, [], [picture], onnx=onnx, **options)
        except UserError as error:
            if not onnx:
                raise
            print(f"{name}: not as ONNX: {error}", file=sys.stderr)
            export(restored(name, folder), folder, [], [picture], **{**options, "precisions": []})
    return about


def restored(name: str, folder: str):
    """A network with the weights that `prepare` saved."""
    import paddle

    network = build(name)
    network.set_state_dict(paddle.load(os.path.join(folder, "weights.pdparams")))
    return network


def measured(about: dict, function, threads: int, *args) -> dict:
    """`about` with what ``function(*args)`` tells from a process of its own, or why it could not."""
    try:
        return {**about, **measuring.in_fresh_process(threads, function, *args)}
    except Exception as error:  # one that cannot be measured does not stop the others
        return {**about, "failed": one_line(error)}


def measure(threads, name, shape, fold, folder, backend, device, protocol) -> dict:
    """One backend's latency in this process."""
    import paddle

    from paddleseg_ext.deploy.exporting import with_output_op
    from paddleseg_ext.deploy.folding import fold_batch_norms
    from paddleseg_ext.deploy.runtimes import Deployment, EagerSession, Session

    paddle.set_device(device)
    picture = example(shape)
    if backend == "paddle":
        network = restored(name, folder)
        if fold:
            fold_batch_norms(network, paddle.to_tensor(picture))
        session: Session = EagerSession(with_output_op(network, "argmax"))
    else:
        runtime, _, precision = backend.partition(":")
        session = Deployment(folder).session(runtime, device, threads, precision or "float32")
    agreement = float((session(picture) == np.load(os.path.join(folder, "labels.npy"))).mean())
    timing = timed(lambda: session(picture), protocol)
    return {**asdict(timing), "peak_memory": measuring.peak_memory(), "label_agreement": agreement}


def measure_torch(threads, spec, shape, device, protocol) -> dict:
    """A PyTorch network's latency, with the same job if `labels`: logits enlarged to the image's size, argmax."""
    folder, address, labels = spec
    sys.path.insert(0, os.path.abspath(folder))
    try:
        import torch
    except ImportError as error:
        raise UserError("--torch needs PyTorch: pip install torch") from error
    module, _, factory = address.partition(":")
    network = getattr(importlib.import_module(module), factory)()
    torch.set_num_threads(threads)
    place = torch.device("cuda" if device == "gpu" else "cpu")
    network = network.to(place).eval()
    picture = torch.from_numpy(example(shape))

    @torch.no_grad()
    def run():
        output = network(picture.to(place))
        output = output[0] if isinstance(output, (list, tuple)) else output
        if labels:
            output = torch.nn.functional.interpolate(output, picture.shape[2:], mode="bilinear", align_corners=True)
            output = output.argmax(1)
        return output.cpu().numpy()

    timing = timed(run, protocol)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return {**asdict(timing), "peak_memory": measuring.peak_memory(), "parameters": parameters}


def timed(run, protocol) -> measuring.Timing:
    kind, warm_up, runs = protocol
    return measuring.repeat(run, warm_up, runs) if kind == "median" else ddrnet_protocol(run)


def ddrnet_protocol(run) -> measuring.Timing:
    """The mean over as many runs as fit into six seconds, after ten runs and a trial of a second or more."""

    def mean_of(runs):
        start = time.perf_counter()
        for _ in range(runs):
            run()
        return (time.perf_counter() - start) / runs

    for _ in range(10):
        run()
    runs, mean = 1, mean_of(1)
    while runs * mean < 1:
        runs *= 2
        mean = mean_of(runs)
    runs = max(1, int(6 / mean))
    mean = mean_of(runs)
    return measuring.Timing(mean, mean, mean, mean, runs)
