"""What `new_config` and `train` make of a folder of images and label masks: every sixth training image of CamVid.

    python docs/scripts/measure_own_data.py

Their 11 classes become 4. Writes docs/results/own_data.json.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import cv2
import numpy as np
from shared import ROOT, scores_of_training, tool, write_result

from paddleseg_ext.command import run
from paddleseg_ext.datasets.palettes import CAMVID

CLASSES = {
    "road": ["Road", "Sidewalk"],
    "building": ["Building", "Pole", "SignSymbol", "Fence"],
    "nature": ["Sky", "Tree"],
    "mobile": ["Car", "Pedestrian", "Bicyclist"],
}


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset_root", type=Path, default=ROOT / "data/camvid", help="(default: %(default)s)")
    parser.add_argument("--iters", type=int, default=60, help="(default: %(default)s)")
    return parser.parse_args()


def main(args):
    with tempfile.TemporaryDirectory() as folder:
        data, config, save_dir = (Path(folder, name) for name in ("data", "my.yml", "run"))
        images = flatten(args.dataset_root, data)
        tool("new_config", "--dataset_root", str(data), "--save_path", str(config), "--iters", str(args.iters))
        scores = scores_of_training(config, save_dir, seed=1, iters=args.iters)
    write_result("own_data", {"iterations": args.iters, "images": images, "val": scores})


def flatten(camvid: Path, folder: Path) -> int:
    """Put every sixth training image and its mask of `CLASSES` into two folders; return how many images that is."""
    table = np.full(256, 255, np.uint8)
    for index, names in enumerate(CLASSES.values()):
        table[[list(CAMVID).index(name) for name in names]] = index
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    (folder / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    pairs = [line.split() for line in (camvid / "train.txt").read_text().splitlines()][::6]
    for image, label in pairs:
        shutil.copy(camvid / image, folder / "images")
        mask = table[cv2.imread(str(camvid / label), cv2.IMREAD_GRAYSCALE)]
        cv2.imwrite(str(folder / "masks" / Path(label).name), mask)
    return len(pairs)


if __name__ == "__main__":
    run(main, parse_args)
