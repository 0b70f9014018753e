"""The scalars of a training with --use_vdl as a CSV file (a line an iteration) and an image of its curves."""

import argparse
import os

from paddleseg_ext.command import run


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log_dir", required=True, help="the --save_dir of the training")
    parser.add_argument("--save_dir", default="./output/curves", help="folder for both files (default: %(default)s)")
    return parser.parse_args()


def main(args):
    from paddleseg_ext.files import write_whole
    from paddleseg_ext.training.curves import csv_text, plot, read_scalars

    scalars = read_scalars(args.log_dir)
    os.makedirs(args.save_dir, exist_ok=True)
    path = os.path.join(args.save_dir, "training.csv")
    write_whole(path, csv_text(scalars))
    plot(scalars, os.path.join(args.save_dir, "training.png"))
    print(f"Written: {path} and {args.save_dir}/training.png")


if __name__ == "__main__":
    run(main, parse_args)
