"""Runs the unmodified scripts of a PaddleSeg checkout with this package's YAMLs: python tests/stock_scripts.py CHECKOUT

For SANet-S and EncNet on a few street scenes: train, train in two processes, val, predict and export. Not a test
itself, since strangers have no checkout; prints a line a cell and exits with the number of those that failed.
`--own_package` takes the checkout's `paddleseg` too, instead of the installed one.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
NETWORKS = {
    "SANet-S": CONFIGS / "sanet" / "sanet_s_street_256x128_230.yml",
    "EncNet": CONFIGS / "encnet" / "encnet_resnet18_os16_street_256x128_400.yml",
}
PICTURES = Path("data", "street", "leftImg8bit", "val")


def cells(tools, config):
    """(name, command, files that must exist afterwards) of every cell, in the order of running."""
    device = ["--device", "cpu"]
    train = [tools / "train.py", "--config", config, *device, "--iters", 3, "--log_iters", 1, "--batch_size", 2]
    weights = ["--model_path", "output/iter_3/model.pdparams"]
    launch = ["-m", "paddle.distributed.launch", "--nproc_per_node", 2]
    return [
        ("train", [*train, "--do_eval", "--use_vdl", "--num_workers", 2], [weights[1], "output/best_model"]),
        ("two processes", [*launch, *train, "--do_eval", "--save_dir", "output2"], ["output2/iter_3/model.pdopt"]),
        ("val", [tools / "val.py", "--config", config, *device, *weights], []),
        (
            "predict",
            [tools / "predict.py", "--config", config, *device, *weights, "--image_path", PICTURES],
            ["output/result/pseudo_color_prediction"],
        ),
        (
            "export",
            [tools / "export.py", "--config", config, *weights],
            ["output/inference_model/deploy.yaml", "output/inference_model/model.pdiparams"],
        ),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--own_package", action="store_true")
    args = parser.parse_args()
    environment = dict(os.environ)
    if args.own_package:
        environment["PYTHONPATH"] = str(args.checkout.resolve())

    failed = 0
    for network, config in NETWORKS.items():
        with tempfile.TemporaryDirectory() as folder:
            drawn = [CONFIGS.parent / "tools" / "make_street_dataset.py"]
            drawn += [word for split in ("train", "val", "test") for word in (f"--num_{split}", 4)]
            for name, command, files in [("data", drawn, []), *cells(args.checkout.resolve() / "tools", config)]:
                begin = time.time()
                done = subprocess.run(
                    [sys.executable, *map(str, command)],
                    cwd=folder,
                    env=environment,
                    text=True,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    timeout=600,
                )
                missing = [file for file in files if not Path(folder, file).exists()]
                works = done.returncode == 0 and not missing
                failed += not works
                print(f"{network:8} {name:14} {'works' if works else 'FAILS'} {time.time() - begin:6.1f} s", flush=True)
                if not works:
                    print("\n".join(done.stdout.splitlines()[-8:]), f"missing: {missing}", sep="\n")
    sys.exit(failed)


if __name__ == "__main__":
    main()
