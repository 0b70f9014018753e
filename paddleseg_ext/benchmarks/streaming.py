"""A folder of images through an exported network, reading and drawing included, against the bare network."""

from __future__ import annotations

import argparse
import os
import tempfile

import numpy as np

from paddleseg_ext.benchmarks import measuring
from paddleseg_ext.command import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model_dir", required=True, help="a folder that tools/export.py wrote")
    parser.add_argument("--backend", default="onnxruntime", choices=["inference", "onnxruntime"])
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16", "int8"])
    parser.add_argument("--num_images", type=int, default=500, help="how many to draw (default: %(default)s)")
    parser.add_argument("--size", nargs=2, type=int, default=[512, 256], metavar=("W", "H"), help="(default: 512 256)")
    parser.add_argument("--suffix", default=".png", choices=[".png", ".jpg"])
    measuring.add_flags(parser, threads=os.cpu_count())


def main(args: argparse.Namespace) -> None:
    where = measuring.conditions("cpu", args.threads)
    about = {"backend": args.backend, "precision": args.precision, "size": "{1}x{0}".format(*args.size)}
    figure = measuring.in_fresh_process(args.threads, measure, args)
    rates = {
        "bare network": f"{figure['bare']:.2f}/s",
        "folder": f"{figure['streaming']:.2f}/s",
        "share": f"{figure['streaming'] / figure['bare']:.3f}",
    }
    notes = [
        f"{args.num_images} {args.suffix} images: read, normalised, labelled, two images written for each; the bare "
        "network is called as often with one prepared input, half of it before the folder and half after."
    ]
    measuring.write_report(args.save_dir, "streaming", where, [{**about, **figure}], [{**about, **rates}], notes)


def measure(args: argparse.Namespace) -> dict:
    """Images per second of the bare network and of the whole way."""
    import cv2

    from paddleseg_ext.deploy.runtimes import Deployment
    from paddleseg_ext.deploy.streaming import Artist, ExportedSegmenter, predict_pictures

    exported = Deployment(args.model_dir)
    exported.require_labels()

    def open_session(threads):
        return exported.session(args.backend, "cpu", threads, args.precision)

    session = open_session(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, f"{index:04}{args.suffix}") for index in range(args.num_images)]
        for index, path in enumerate(paths):
            cv2.imwrite(path, _picture(index, *args.size))
        prepared = exported.transforms({"img": paths[0]})["img"][None]
        half = max(1, args.num_images // 2)
        before = measuring.repeat(lambda: session(prepared), 3, half)
        segmenter = ExportedSegmenter(exported.transforms, open_session, args.threads)
        summary = predict_pictures(paths, folder, segmenter, Artist(), os.path.join(folder, "out"))
        if summary.failed:
            raise UserError(f"--model_dir {args.model_dir}: {summary.failed[0]}")
        after = measuring.repeat(lambda: session(prepared), 3, half)
    return {"bare": 2 / (before.mean + after.mean), "streaming": summary.done / summary.seconds}


def _picture(seed: int, width: int, height: int) -> np.ndarray:
    """Smooth blobs with a little noise: compresses about as well as a photograph."""
    import cv2

    random = np.random.default_rng(seed)
    blobs = cv2.resize(random.integers(0, 255, (8, 16, 3), dtype=np.uint8), (width, height))
    return cv2.add(blobs, random.integers(0, 12, blobs.shape, dtype=np.uint8))
