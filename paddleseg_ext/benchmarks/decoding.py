"""Colour labels to classes: the table look-up of our data sets against a comparison per colour."""

from __future__ import annotations

import argparse
from dataclasses import asdict

import numpy as np

from paddleseg_ext.benchmarks.measuring import (
    add_flags,
    conditions,
    in_fresh_process,
    latency,
    repeat,
    write_report,
)

WAYS = ("table look-up", "comparison per colour")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--size", nargs=2, type=int, default=[1914, 1052], metavar=("W", "H"), help="(default: GTAV's 1914 1052)"
    )
    add_flags(parser, runs=5)


def main(args: argparse.Namespace) -> None:
    where = conditions("cpu", 1)
    figures = [{"way": way, **in_fresh_process(1, measure, way, args.size, args.runs)} for way in WAYS]
    fastest = figures[0]["median"]
    table = [
        {
            "way": figure["way"],
            **latency(figure, "label"),
            "times the look-up": f"{figure['median'] / fastest:.1f}",
        }
        for figure in figures
    ]
    notes = ["One RGB label of GTAV's 35 colours in blocks, {}x{} pixels, in main memory.".format(*args.size)]
    write_report(args.save_dir, "decoding", where, figures, table, notes)


def measure(way: str, size: list[int], runs: int) -> dict:
    from PIL import Image

    from paddleseg_ext.datasets.palettes import GTAV, gtav_decoder

    width, height = size
    colours = np.array([colour for _, colour in GTAV], np.uint8)
    ids = np.random.default_rng(0).integers(0, len(colours), (-(-height // 8), -(-width // 8)))
    rgb = colours[ids.repeat(8, 0).repeat(8, 1)[:height, :width]]
    picture, decoder = Image.fromarray(rgb), gtav_decoder(len(GTAV))

    def compare_colours():
        label = np.full(rgb.shape[:2], 255, np.uint8)
        for index, colour in enumerate(colours):
            label[(rgb == colour).all(-1)] = index
        return label

    return asdict(repeat((lambda: decoder.decode(picture)) if way == WAYS[0] else compare_colours, 1, runs))
