"""The weights that new_config proposes against none, on painted pictures with a class of less than 0.5 % of the pixels.

    python docs/scripts/measure_rare_class.py

Everything else is the same: pictures, YAML, iterations, seeds. Writes docs/results/rare_class.json.
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "tools"
CLASSES = ("sky", "house", "ground", "lamp")
WIDTH, HEIGHT, PICTURES = 128, 96, 150


def paint(seed):
    """Noisy houses before sky and ground and, in a third of the pictures, a round red lamp. BGR picture and label."""
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
    parser.add_argument("--iters", type=int, default=600)
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
    path = ROOT / "docs" / "results" / "rare_class.json"
    path.write_text(json.dumps(report, indent=2) + "\n")
    print(f"Written: {path}")


if __name__ == "__main__":
    main()
