"""Make a config of your own data: find images and labels, check and split them, propose a training, write a YAML.

Takes masks of class indices in any usual folders (images and masks, split folders, Cityscapes, EISeg) and labelme's
JSON polygons. Writes train.txt, val.txt and classes.txt into the folder of the data, and the YAML. A classes.txt that
is there already is used instead, and so are lists, if train.txt and val.txt both are. Data that tools/check_dataset.py
would refuse is refused, and nothing is written.
"""

import argparse
import os
import shlex
import sys

from paddleseg_ext.command import run

NETWORKS = ("sanet_s", "sanet_m", "sanet_l", "encnet_r18", "encnet_r50", "encnet_r101")


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset_root", required=True, help="the folder with images and labels")
    parser.add_argument("--save_path", required=True, help="the YAML to write, e.g. my.yml")
    parser.add_argument("--network", default="sanet_s", choices=NETWORKS, help="to train (default: %(default)s)")
    parser.add_argument("--num_classes", type=int, help="number of classes (default: as classes.txt or the labels say)")
    parser.add_argument(
        "--split",
        nargs="+",
        type=float,
        default=[0.8, 0.2],
        metavar="RATIO",
        help="shares of train, val and, if wanted, test, where folders do not tell them (default: 0.8 0.2)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the random split (default: %(default)s)")
    parser.add_argument("--crop_size", nargs=2, type=int, metavar=("W", "H"), help="instead of the proposal")
    parser.add_argument("--batch_size", type=int, help="instead of the proposal")
    parser.add_argument("--iters", type=int, help="instead of the proposal")
    parser.add_argument(
        "--num_workers", type=int, default=os.cpu_count(), help="processes, 0: this one alone (default: all processors)"
    )
    parser.add_argument(
        "--ignore", nargs="+", default=[], metavar="KIND", help="kinds of problems to accept, e.g. label_missing"
    )
    return parser.parse_args()


def main(args):
    from paddleseg_ext.data_tools.new_config import make_config
    from paddleseg_ext.data_tools.problems import check_kinds

    check_kinds(args.ignore)
    return make_config(args, "paddleseg-ext new_config " + shlex.join(sys.argv[1:]))


if __name__ == "__main__":
    run(main, parse_args)
