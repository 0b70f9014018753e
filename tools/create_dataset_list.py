"""Write train.txt, val.txt and test.txt, the file lists of a data set, into its folder.

Images and labels are paired by name. Files without a partner are named and left out, and the exit status is 1.
"""

import argparse
import os
import sys

from paddleseg_ext.command import UserError, run


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("dataset_root", help="the folder of the data set")
    parser.add_argument(
        "--type",
        default="custom",
        choices=["cityscapes", "camvid", "gtav", "custom"],
        help="whose folders and file names are looked for; the flags after --separator are for custom ones",
    )
    parser.add_argument("--separator", default=" ", help="what separates image and label (default: a space)")
    parser.add_argument(
        "--folder",
        nargs=2,
        default=["images", "annotations"],
        metavar=("IMAGES", "LABELS"),
        help="the folders of images and labels",
    )
    parser.add_argument(
        "--second_folder",
        nargs="*",
        default=["train", "val", "test"],
        help="the folders of the splits in both; each gives a list of its name",
    )
    parser.add_argument(
        "--format", nargs=2, default=["jpg", "png"], metavar=("IMAGE", "LABEL"), help="the suffixes of file names"
    )
    parser.add_argument(
        "--postfix", nargs=2, default=["", ""], metavar=("IMAGE", "LABEL"), help="the ends of names before the suffix"
    )
    return parser.parse_args()


def main(args):
    from paddleseg_ext.datasets.lists import SPLITS
    from paddleseg_ext.datasets.pairing import find_layout, folder_layout, write_lists

    if not os.path.isdir(args.dataset_root):
        raise UserError(f"{args.dataset_root}: there is no such folder")
    if args.type == "custom":
        layout, splits = folder_layout(args.folder, args.postfix, args.format), args.second_folder
    else:
        layout, splits = find_layout(args.dataset_root, args.type), SPLITS
    lines, without_partner = write_lists(args.dataset_root, layout, splits, args.separator)
    for path, count in lines.items():
        print(f"{path}: {count} lines")
    for complaint in without_partner:
        print(complaint, file=sys.stderr)
    if not lines:
        folders = ", ".join(dict.fromkeys(layout.images.replace("{split}", split) for split in splits))
        formats = ", ".join(layout.image_formats)
        raise UserError(f"{args.dataset_root}: found no images ({formats}) with labels in {folders}: see --help")
    return 1 if without_partner else 0


if __name__ == "__main__":
    run(main, parse_args)
