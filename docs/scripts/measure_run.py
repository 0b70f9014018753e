"""Measure a finished training on its validation and its test images and keep the figures in docs/results.

    python docs/scripts/measure_run.py --run_dir output --name NAME

writes docs/results/NAME.json: how the network was trained, and mIoU, accuracy, IoU of each class, boundary IoU and
F-score of its last weights; for a network with an SE branch also how well it knows which classes an image shows; the
time of a training step. The scalars of the training (it needs --use_vdl) go into NAME.csv. make_figures.py makes the
documentation's tables and curves of them.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
from pathlib import Path

import yaml
from shared import RESULTS, best_score, in_processor_time, percent, value_of, write_result

from paddleseg_ext.command import UserError, run


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run_dir", required=True, help="the --save_dir of the training")
    parser.add_argument("--name", required=True, help="name of the files in docs/results")
    parser.add_argument("--ema", action="store_true", help="measure the averaged weights of a training with --use_ema")
    parser.add_argument("--device", default="cpu", choices=["cpu", "gpu"])
    return parser.parse_args()


def main(args):
    from paddleseg_ext.benchmarks.measuring import conditions
    from paddleseg_ext.builder import load_config, load_network
    from paddleseg_ext.files import write_whole
    from paddleseg_ext.training.curves import csv_text, read_scalars

    config_path = str(Path(args.run_dir) / "config.yml")
    config = load_config(config_path)
    model = "ema_model" if args.ema else "model"
    weights = Path(args.run_dir) / f"iter_{config.iters}" / f"{model}.pdparams"
    if not weights.is_file():
        raise UserError(f"--run_dir {args.run_dir}: no {weights.name} of iteration {config.iters}: train to its end")
    network = load_network(config, str(weights), args.device)
    where = conditions(args.device, 1)
    start = yaml.safe_load((Path(args.run_dir) / "run.yml").read_text(encoding="utf-8"))[0]
    command = shlex.split(start["command"])
    command[command.index("--save_dir") + 1] = f"output/{args.name}"  # where others can write, too
    result = {
        "config": value_of("--config", command),
        "command": shlex.join(command),
        "seed": int(value_of("--seed", command)),
        "iterations": config.iters,
        "machine": f"{where['processor']}, {where['cores']} cores",
        "stack": {name: start["versions"][name] for name in ("paddlepaddle", "paddleseg")},
        "seconds_per_step": round(seconds_per_step(config_path, args.device), 3),
        "best_val_mIoU": best_score(args.run_dir, model),
        **{split: measure(network, config, split) for split in ("val", "test")},
    }
    write_whole(str(RESULTS / f"{args.name}.csv"), csv_text(read_scalars(args.run_dir)))
    write_result(args.name, result)


def measure(network, config, split: str) -> dict:
    """The scores of `network` on a split, in percent with two digits."""
    from paddleseg_ext.analysis.boundary_quality import evaluate_boundaries
    from paddleseg_ext.analysis.class_presence import predict_present_classes
    from paddleseg_ext.builder import Builder, classes_of

    config.dic["val_dataset"]["mode"] = split
    dataset = Builder(config).val_dataset
    names = classes_of(config).names
    report = evaluate_boundaries(network, dataset, names, print_detail=False)
    result = {
        "mIoU": percent(report["mIoU"]),
        "accuracy": percent(report["Acc"]),
        "IoU": {name: percent(scores["iou"]) for name, scores in report["classes"].items()},
        **{
            key: {w: percent(v) for w, v in report["mean"][key].items()} for key in ("boundary_iou", "boundary_f_score")
        },
    }
    if hasattr(network, "se_layer"):
        result |= presence(*predict_present_classes(network, dataset))
    return result


def presence(predicted, present) -> dict:
    """How well `predicted` (images, K) tells the classes `present`; empty if each is in all images or in none."""
    from paddleseg_ext.analysis.class_presence import average_precision

    try:
        precision, prior = average_precision(predicted, present)
    except UserError:
        return {}
    return {"presence": {"average_precision": percent(precision), "prior": percent(prior)}}


def seconds_per_step(config: str, device: str) -> float:
    """Of a training step, data included: the median of five, on a CPU of one thread's seconds on the processor."""
    from paddleseg_ext.benchmarks import training
    from paddleseg_ext.benchmarks.measuring import in_fresh_process

    way = [in_processor_time] if device == "cpu" else []  # other programs add little to it
    steps = in_fresh_process(1, *way, training.measure, config, None, device, 1, 5)
    return statistics.median(map(sum, zip(*steps.values())))


if __name__ == "__main__":
    run(main, parse_args)
