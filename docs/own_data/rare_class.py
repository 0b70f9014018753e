"""The weights that new_config proposes against none, on painted pictures with a class of less than 0.5 % of the pixels.

    python docs/own_data/rare_class.py

Everything else is the same: pictures, YAML, iterations, seeds. Prints the table of docs/own_data.md and writes
rare_class.json beside this file.
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

HERE = Path(__file__).resolve().parent
TOOLS = HERE.parents[1] / "tools"
CLASSES = ("sky", "house", "ground", "lamp")
WIDTH, HEIGHT, PICTURES = 160, 112, 100


def paint(seed):
    """Houses with yellow windows before sky and ground; lamps are as yellow as windows, but round. BGR and label."""
    rng = np.random.default_rng(seed)
    label = np.zeros((HEIGHT, WIDTH), np.uint8)
    label[HEIGHT * 3 // 5 :] = 2
    windows = np.zeros_like(label)
    for _ in range(rng.integers(2, 5)):
        x, y = rng.integers(0, WIDTH - 40), rng.integers(8, 50)
        corner = (int(x + rng.integers(25, 60)), int(rng.integers(65, 88)))
        cv2.rectangle(label, (int(x), int(y)), corner, 1, -1)
        for _ in range(4):
            left, top = int(rng.integers(x, corner[0] - 6)), int(rng.integers(y, 58))
            cv2.rectangle(windows, (left, top), (left + 6, top + 7), 1, -1)
    windows[label != 1] = 0
    for _ in range(rng.integers(1, 3)):
        centre = (int(rng.integers(8, WIDTH - 8)), int(rng.integers(8, HEIGHT - 8)))
        cv2.circle(label, centre, int(rng.integers(3, 5)), 3, -1)
    colours = np.array([(210, 180, 150), (90, 90, 120), (80, 110, 80), (70, 190, 220)]) + rng.integers(-25, 25, (4, 3))
    image = colours[np.where(windows == 1, 3, label) * (label != 3) + 3 * (label == 3)]
    return np.clip(image + rng.normal(0, 18, image.shape), 0, 255).astype(np.uint8), label


def run(tool, *flags):
    result = subprocess.run(
        [sys.executable, str(TOOLS / f"{tool}.py"), *map(str, flags)], capture_output=True, text=True, check=False
    )
    if result.returncode:
        sys.exit(result.stdout + result.stderr)
    return result.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--save_dir", type=Path, default="output/rare_class")
    parser.add_argument("--iters", type=int, default=150)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    args = parser.parse_args()

    root = args.save_dir / "data"
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for i in range(PICTURES):
        image, label = paint(i)
        cv2.imwrite(str(root / f"images/{i:03d}.png"), image)
        cv2.imwrite(str(root / f"masks/{i:03d}.png"), label)
    (root / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    proposed = args.save_dir / "proposed.yml"
    crop = ("--crop_size", WIDTH, HEIGHT, "--batch_size", 4)
    run("new_config", "--dataset_root", root, "--save_path", proposed, "--iters", args.iters, *crop)
    text = proposed.read_text()
    none = args.save_dir / "none.yml"
    none.write_text(re.sub(r"\n +weight: .*", "", text))
    share = float(re.search(r"3 lamp: ([\d.]+) %", text)[1])
    weights = json.loads(re.search(r"&weight (\[.*\])", text)[1])

    rows = []
    for seed in args.seeds:
        for config in (none, proposed):
            save_dir = args.save_dir / f"{config.stem}_{seed}"
            flags = ("--config", config, "--device", "cpu")
            run("train", *flags, "--seed", seed, "--save_dir", save_dir, "--save_interval", args.iters)
            out = run("val", *flags, "--model_path", save_dir / f"iter_{args.iters}/model.pdparams")
            iou = [float(value) for value in re.findall(r"[\d.]+", re.search(r"Class IoU:\s*\[(.*?)\]", out, re.S)[1])]
            rows.append({"weights": config.stem, "seed": seed, "mIoU": float(np.mean(iou)), **dict(zip(CLASSES, iou))})
            print(rows[-1], flush=True)
    report = {"iterations": args.iters, "lamp_percent_of_pixels": share, "proposed_weights": weights, "runs": rows}
    (HERE / "rare_class.json").write_text(json.dumps(report, indent=2) + "\n")

    print("\n| weights | seed | mIoU |" + "".join(f" {name} |" for name in CLASSES))
    print("|---" * (3 + len(CLASSES)) + "|")
    for row in rows:
        scores = " | ".join(f"{100 * row[key]:.1f}" for key in ("mIoU", *CLASSES))
        print(f"| {row['weights']} | {row['seed']} | {scores} |")


if __name__ == "__main__":
    main()
