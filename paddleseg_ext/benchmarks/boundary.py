"""From labels to boundary targets: on the device as our losses do it, and the alternatives on the CPU."""

from __future__ import annotations

import argparse
from dataclasses import asdict

import numpy as np

from paddleseg_ext.benchmarks import measuring

WAYS = ("binary", "per class", "Canny and dilation (OpenCV)", "mask_to_binary_edge (PaddleSeg)")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--shape", nargs=3, type=int, default=[4, 512, 1024], metavar=("N", "H", "W"))
    parser.add_argument("--num_classes", type=int, default=19, help="(default: %(default)s)")
    measuring.add_flags(parser, device=True, threads=2, runs=5)


def main(args: argparse.Namespace) -> None:
    where = measuring.conditions(args.device, args.threads)
    settings = (args.shape, args.num_classes, args.device, args.runs)
    figures = [{"way": way, **measuring.in_fresh_process(args.threads, measure, way, *settings)} for way in WAYS]
    table = [{"way": figure["way"], **measuring.latency(figure, "batch")} for figure in figures]
    notes = [f"Labels {args.shape} of {args.num_classes} classes in blocks, {args.runs} runs after one to warm up."]
    measuring.write_report(args.save_dir, "boundary", where, figures, table, notes)


def measure(way: str, shape: list[int], num_classes: int, device: str, runs: int) -> dict:
    import cv2
    import paddle
    from paddleseg.transforms.functional import mask_to_binary_edge

    from paddleseg_ext.boundary import binary_boundary, class_boundary

    paddle.set_device(device)
    batch, height, width = shape
    coarse = np.random.default_rng(0).integers(0, num_classes, (batch, 16, 16), dtype=np.uint8)
    masks = [cv2.resize(one, (width, height), interpolation=cv2.INTER_NEAREST) for one in coarse]
    labels = paddle.to_tensor(np.stack(masks).astype(np.int64))
    square = np.ones((4, 4), np.uint8)

    def run():
        if way == "binary":
            binary_boundary(labels).numpy()
        elif way == "per class":
            class_boundary(labels, num_classes).numpy()
        elif way == WAYS[2]:
            for mask in masks:
                cv2.dilate(cv2.Canny(mask, 0.1, 0.2), square)
        else:
            for mask in masks:
                mask_to_binary_edge(mask, radius=2, num_classes=num_classes)

    return asdict(measuring.repeat(run, 1, runs))
