"""What follows from a trained SANet-S: figures into docs/results/NAME.json, images beside it.

    python docs/scripts/measure_weights.py --run_dir output --name sanet_s

runs the tools on the best model of a finished training (`export`, `val`, `receptive_field`) and keeps how far the
folded and the exported network agree with the trained one, what int8 does to the mIoU, the scores with those of
boundaries, and the receptive fields; draws NAME_val.jpg, three validation images with label, prediction and boundary,
and NAME_receptive_field.png. make_figures.py puts the figures into the pages.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path

from shared import RESULTS, best_score, percent, tool, write_result

from paddleseg_ext.command import run

SHOWN = 3  # images, spread over the validation set
AVERAGED = 8  # images that effective receptive fields are averaged over
LAYER = "decoder"  # whose effective receptive field is drawn


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run_dir", required=True, help="the --save_dir of the training; its best model is taken")
    parser.add_argument("--name", required=True, help="name of the files in docs/results")
    parser.add_argument("--num_eval", type=int, help="images that int8 is judged by (default: all)")
    parser.add_argument("--opts", nargs="+", help="key=value changes of the YAML")
    return parser.parse_args()


def main(args):
    from paddleseg_ext.analysis.pictures import validation_pictures
    from paddleseg_ext.benchmarks.measuring import conditions
    from paddleseg_ext.builder import find_run, load_config

    config_path, weights = find_run(None, args.run_dir)
    config = load_config(config_path, opts=args.opts)
    train_set = Path(config.train_dataset_cfg["dataset_root"]).resolve() / "train"
    common = ["--model_path", os.path.abspath(args.run_dir), *(["--opts", *args.opts] if args.opts else [])]
    with tempfile.TemporaryDirectory() as folder:

        def written(name: str, *flags: str) -> Path:
            """The folder that a tool has filled."""
            tool(name, "--save_dir", f"{folder}/{name}", *flags, *common)
            return Path(folder, name)

        few = ["--num_eval", str(args.num_eval)] if args.num_eval else []
        int8 = ["--fold_bn", "--onnx", "--precision", "int8", "--image_path", str(train_set), *few]
        exported = json.loads((written("export", *int8) / "comparison.json").read_text())
        boundaries = json.loads((written("val", "--boundary", "--device", "cpu") / "boundary.json").read_text())
        some = Path(folder, "some.txt")
        some.write_text("".join(f"{picture.path}\n" for picture in spread(validation_pictures(config), AVERAGED)))
        fields = written("receptive_field", "--depth", "1", "--device", "cpu", "--image_path", str(some))
        shutil.copyfile(fields / f"effective_{LAYER}.png", RESULTS / f"{args.name}_receptive_field.png")
        fields = json.loads((fields / "receptive_fields.json").read_text())
    flags = f"--run_dir {os.path.basename(args.run_dir)} --name {args.name}"
    result = {
        "command": f"python docs/scripts/measure_weights.py {flags}",
        "network": f"{config.model_cfg['type']}, {config.model_cfg['backbone']['type']}",
        "iteration": best_score(args.run_dir)["iteration"],
        "conditions": conditions("cpu", int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))),
        **of_export(exported),
        "boundary": {
            key: {width: percent(score) for width, score in boundaries["mean"][key].items()}
            for key in ("boundary_iou", "boundary_f_score")
        },
        "mIoU": percent(boundaries["mIoU"]),
        "accuracy": percent(boundaries["Acc"]),
        "receptive_field": {name: of_field(field) for name, field in fields.items()},
    }
    draw_pictures(config, weights, RESULTS / f"{args.name}_val.jpg")
    write_result(args.name, result)


def of_export(report: dict) -> dict:
    """The verdicts of comparison.json."""
    folding, *exported = report["comparisons"]
    (int8,) = report["precisions"]
    return {
        "folding": {**report["folding"], "relative_difference": folding["relative_difference"]},
        "exported": {
            comparison["what"].split()[0]: {
                "labels_equal": 100 * comparison["label_agreement"],
                "passed": comparison["passed"],
            }
            for comparison in exported
        },
        "int8": {
            "labels_equal": 100 * int8["label_agreement"],
            "mIoU_before": 100 * int8["miou_before"],
            "mIoU_after": 100 * int8["miou_after"],
        },
    }


def of_field(field: dict) -> dict:
    """Size and stride in pixels along the width, and the sides of the squares that hold shares of what is seen."""
    squares = {str(square["share"]): square["side"] for square in field["effective"]}
    return {"size": field["width"]["size"], "stride": field["width"]["stride"], "effective_sides": squares}


def spread(items: list, count: int) -> list:
    """`count` of the items, from the middles of as many equal parts."""
    return [items[(2 * i + 1) * len(items) // (2 * count)] for i in range(count)]


def draw_pictures(config, weights: str, path: Path) -> None:
    import cv2
    import numpy as np

    from paddleseg_ext.analysis.boundary_pictures import boundary_probability, grey
    from paddleseg_ext.analysis.pictures import for_each_picture, validation_pictures
    from paddleseg_ext.analysis.segmentation import colour_map, panel
    from paddleseg_ext.builder import classes_of
    from paddleseg_ext.files import write_image
    from paddleseg_ext.segmenter import Segmenter

    classes, segmenter = classes_of(config), Segmenter.of(config, weights, "cpu")
    rows = []

    def draw(picture, image):
        parts = {
            "image": image,
            "label": colour_map(classes.read_label(picture.label_path, image.shape[:2]), classes),
            "prediction": colour_map(segmenter.predict(image), classes),
            "boundary": cv2.cvtColor(grey(boundary_probability(segmenter, image)), cv2.COLOR_GRAY2BGR),
        }
        rows.append(panel(parts))

    for_each_picture(spread(validation_pictures(config), SHOWN), draw)
    write_image(str(path), np.vstack(rows))


if __name__ == "__main__":
    run(main, parse_args)
