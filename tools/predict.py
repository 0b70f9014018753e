"""Predict pictures with a network, as PaddleSeg's tools/predict.py does."""

from __future__ import annotations

import argparse
from typing import Optional

from paddleseg.core import predict
from paddleseg.transforms import Compose
from paddleseg.utils import logger, utils

from paddleseg_ext.building import Builder, list_images, load_config
from paddleseg_ext.command import UserError, run
from paddleseg_ext.deploy.streaming import unreadable_picture


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", help="The YAML file of the network.")
    parser.add_argument("--model_path", help="The trained weights (.pdparams).")
    parser.add_argument("--image_path", help="A picture, a folder of pictures or a text file that lists pictures.")
    parser.add_argument("--save_dir", default="./output/result", help="The folder for the results.")
    parser.add_argument("--device", default="gpu", choices=["cpu", "gpu", "xpu", "npu", "mlu"])
    augment = parser.add_argument_group("several scales and flips")
    augment.add_argument("--aug_pred", action="store_true", help="Average over --scales and flips.")
    augment.add_argument("--scales", nargs="+", type=float, default=1.0, help="E.g. `--scales 0.75 1.0 1.25`.")
    augment.add_argument("--flip_horizontal", action="store_true", help="With --aug_pred: flipped left to right too.")
    augment.add_argument("--flip_vertical", action="store_true", help="With --aug_pred: upside down too.")
    sliding = parser.add_argument_group("sliding window")
    sliding.add_argument("--is_slide", action="store_true", help="Predict window by window.")
    sliding.add_argument("--crop_size", nargs=2, type=int, help="Width and height of the window.")
    sliding.add_argument("--stride", nargs=2, type=int, help="Steps of the window along width and height.")
    parser.add_argument("--custom_color", nargs="+", type=int, help="Colours of the classes, as R G B R G B ...")
    return parser.parse_args()


def main(args: argparse.Namespace) -> Optional[int]:
    config = load_config(args.config)
    test_config = merge_test_config(config.test_config, args)
    images, folder = list_images(args.image_path)

    utils.show_env_info()
    utils.show_cfg_info(config)
    utils.set_device(args.device)
    builder = Builder(config)
    network = builder.model
    transforms = Compose(builder.val_transforms)

    # predict() stops at the first picture that does not decode: find those before it starts
    unreadable = {path: reason for path in images if (reason := unreadable_picture(path))}
    for path, reason in unreadable.items():
        logger.error(f"{path}: not predicted: {reason}")
    readable = [path for path in images if path not in unreadable]
    logger.info(f"The number of images: {len(readable)}")
    if readable:
        predict(
            network,
            model_path=args.model_path,
            transforms=transforms,
            image_list=readable,
            image_dir=folder,
            save_dir=args.save_dir,
            **test_config,
        )
    if unreadable:
        raise UserError(f"{len(unreadable)} of {len(images)} pictures could not be read: {', '.join(unreadable)}")


def merge_test_config(test_config: dict, args: argparse.Namespace) -> dict:
    """The YAML's `test_config` with the flags over it, less what only evaluation knows."""
    merged = {key: value for key, value in test_config.items() if key not in ("aug_eval", "auc_roc")}
    if args.aug_pred:
        for key in ("aug_pred", "scales", "flip_horizontal", "flip_vertical"):
            merged[key] = getattr(args, key)
    if args.is_slide:
        if args.crop_size is None or args.stride is None:
            raise UserError("--is_slide needs --crop_size and --stride, e.g. --crop_size 512 512 --stride 341 341")
        for key in ("is_slide", "crop_size", "stride"):
            merged[key] = getattr(args, key)
    if args.custom_color:
        merged["custom_color"] = args.custom_color
    return merged


if __name__ == "__main__":
    run(main, parse_args)
