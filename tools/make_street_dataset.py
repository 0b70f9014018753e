"""Draw the synthetic street data set that `configs/_base_/street.yml` trains on.

    paddleseg-ext make_street_dataset

writes images, train ids and label ids of street scenes in Cityscapes' folder layout, so that PaddleSeg's own
`type: Cityscapes` reads them. All 19 classes occur in every split. The same flags draw the same images.
"""

from __future__ import annotations

import argparse

from paddleseg_ext.command import run


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--save_dir", default="data/street", help="folder for the data set (default: %(default)s)")
    parser.add_argument("--num_train", type=int, default=500, help="images to train on (default: %(default)s)")
    parser.add_argument("--num_val", type=int, default=60, help="images to evaluate on (default: %(default)s)")
    parser.add_argument("--num_test", type=int, default=20, help="images to predict (default: %(default)s)")
    parser.add_argument(
        "--size", type=int, nargs=2, default=(256, 128), metavar=("W", "H"), help="in pixels (default: 256 128)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the drawing (default: %(default)s)")
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="also write into a folder that this tool did not make; deletes its leftImg8bit and gtFine",
    )
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    from paddleseg_ext.street.dataset import make_street_dataset

    num_pictures = {"train": args.num_train, "val": args.num_val, "test": args.num_test}
    make_street_dataset(args.save_dir, num_pictures, tuple(args.size), args.seed, args.overwrite)


if __name__ == "__main__":
    run(main, parse_args)
