"""Measure what the boundary losses cost beside a training step of SANet-S, into docs/results/boundary_cost_*.json.

    python docs/scripts/measure_boundary_cost.py --size 320 240 --batch 4 --num_classes 11
    python docs/scripts/measure_boundary_cost.py --size 1024 1024 --batch 1 --num_classes 19

Each loss is measured forward and backward in a process of its own, as is the step, with main and auxiliary logits under
cross entropy; in seconds of the processor with one thread, to which other programs on the machine add little.
make_figures.py makes the table of docs/boundary_losses.md of them.
"""

from __future__ import annotations

import argparse

from shared import ROOT, in_processor_time, write_result

from paddleseg_ext.command import run

STEP = ROOT / "configs" / "boundary" / "sanet_s_camvid_320x240_2k.yml"
LOSSES = ("BoundaryBCELoss", "BoundaryDoULoss", "ActiveBoundaryLoss", "ActiveBoundaryLoss-SciPy")


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", nargs=2, type=int, required=True, metavar=("W", "H"), help="of the crops")
    parser.add_argument("--batch", type=int, required=True, help="crops in a batch")
    parser.add_argument("--num_classes", type=int, required=True, help="of the logits that the losses are given")
    parser.add_argument("--runs", type=int, default=5, help="of which the fastest counts (default: %(default)s)")
    return parser.parse_args()


def main(args):
    from paddleseg_ext.benchmarks import losses, training
    from paddleseg_ext.benchmarks.measuring import conditions, in_fresh_process

    width, height = args.size
    costs = {
        name: in_fresh_process(
            1,
            in_processor_time,
            losses.measure,
            name,
            [args.batch, args.num_classes, height, width],
            "cpu",
            1,
            args.runs,
        )
        for name in LOSSES
    }
    steps = in_fresh_process(
        1, in_processor_time, training.measure, str(STEP), [args.batch, width, height], "cpu", 1, args.runs
    )
    del steps["data"]
    step = min(map(sum, zip(*steps.values())))
    result = {
        "size": args.size,
        "batch": args.batch,
        "num_classes": args.num_classes,
        "runs": args.runs,
        "conditions": conditions("cpu", 1),
        "step": step,
        "losses": costs,
    }
    write_result(f"boundary_cost_{width}x{height}", result)


if __name__ == "__main__":
    run(main, parse_args)
