"""The weights that new_config proposes against none, on painted images with a class of less than 0.5 % of the pixels.

    python docs/scripts/measure_rare_class.py

Everything else is the same: images, YAML, iterations, seeds. Writes docs/results/rare_class.json.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from pathlib import Path

import cv2
import numpy as np
from shared import scores_of_training, tool, write_result

from paddleseg_ext.command import run

CLASSES = ("sky", "house", "ground", "lamp")
WIDTH, HEIGHT, IMAGES = 128, 96, 150


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--iters", type=int, default=600, help="(default: %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2], help="(default: %(default)s)")
    return parser.parse_args()


def main(args):
    with tempfile.TemporaryDirectory() as folder:
        report = measure(Path(folder), args.iters, args.seeds)
    write_result("rare_class", report)


def measure(folder: Path, iters: int, seeds: list[int]) -> dict:
    data, proposed, none = folder / "data", folder / "proposed.yml", folder / "none.yml"
    for kind in ("images", "masks"):
        (data / kind).mkdir(parents=True)
    for i in range(IMAGES):
        image, label = paint(i)
        cv2.imwrite(str(data / f"images/{i:03d}.png"), image)
        cv2.imwrite(str(data / f"masks/{i:03d}.png"), label)
    (data / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    crop = ("--crop_size", str(WIDTH), str(HEIGHT), "--batch_size", "4")
    tool("new_config", "--dataset_root", str(data), "--save_path", str(proposed), "--iters", str(iters), *crop)
    text = proposed.read_text()
    none.write_text(re.sub(r"\n +weight: .*", "", text))
    rows = []
    for seed in seeds:
        for config in (none, proposed):
            scores = scores_of_training(config, folder / f"{config.stem}_{seed}", seed, iters)
            rows.append({"weights": config.stem, "seed": seed, **scores})
    return {
        "iterations": iters,
        "lamp_percent_of_pixels": float(re.search(r"3 lamp: ([\d.]+) %", text)[1]),
        "proposed_weights": json.loads(re.search(r"&weight (\[.*\])", text)[1]),
        "runs": rows,
    }


def paint(seed):
    """Noisy houses before sky and ground and, in a third of the images, a round red lamp. BGR image and label."""
    rng = np.random.default_rng(seed)
    label = np.zeros((HEIGHT, WIDTH), np.uint8)
    label[HEIGHT * 3 // 5 :] = 2
    for _ in range(rng.integers(2, 5)):
        x, y = int(rng.integers(0, WIDTH - 30)), int(rng.integers(6, 45))
        cv2.rectangle(label, (x, y), (x + int(rng.integers(20, 50)), int(rng.integers(55, 75))), 1, -1)
    if rng.random() < 1 / 3:
        centre = (int(rng.integers(10, WIDTH - 10)), int(rng.integers(10, HEIGHT - 10)))
        cv2.circle(label, centre, int(rng.integers(6, 8)), 3, -1)
    colours = np.array([(210, 180, 150), (90, 90, 120), (80, 110, 80), (80, 80, 200)]) + rng.integers(-25, 25, (4, 3))
    image = colours[label]
    return np.clip(image + rng.normal(0, 18, image.shape), 0, 255).astype(np.uint8), label


if __name__ == "__main__":
    run(main, parse_args)
