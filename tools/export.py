"""Export a network for inference, as PaddleSeg's tools/export.py does."""

from __future__ import annotations

import argparse
import os

import yaml
from paddleseg.utils import logger, utils

from paddleseg_ext.building import load_config, load_network
from paddleseg_ext.command import UserError, run
from paddleseg_ext.deploy.exporting import OUTPUT_OPS, export_folder, require_fitting_weights


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", help="The YAML file of the network.")
    parser.add_argument("--model_path", help="The trained weights (.pdparams) to export.")
    parser.add_argument("--save_dir", default="./output/inference_model", help="The folder to write.")
    parser.add_argument(
        "--input_shape",
        nargs="+",
        type=int,
        help="A fixed input shape, e.g. `--input_shape 1 3 1024 2048`; left out, batch, height and width may vary.",
    )
    parser.add_argument(
        "--output_op",
        choices=OUTPUT_OPS,
        default="argmax",
        help="What ends the exported network: labels, probabilities or logits. Default: argmax.",
    )
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    config = load_config(args.config)
    if args.input_shape is not None and (len(args.input_shape) != 4 or min(args.input_shape) < 1):
        raise UserError(f"--input_shape {args.input_shape}: give four numbers, e.g. 1 3 1024 2048")
    transforms = config.val_dataset_cfg.get("transforms")
    if transforms is None:
        raise UserError(f"{args.config}: no val_dataset with transforms, which deploy.yaml repeats")

    utils.show_env_info()
    utils.show_cfg_info(config)
    os.environ["PADDLESEG_EXPORT_STAGE"] = "True"
    network = load_network(config, args.model_path, device="cpu")
    if args.model_path is not None:
        require_fitting_weights(network, args.model_path)

    deploy = export_folder(network, args.save_dir, transforms, args.input_shape, args.output_op)
    logger.info("Deploy information\n" + yaml.safe_dump(deploy))
    logger.info(f"The inference model is saved in {args.save_dir}")


if __name__ == "__main__":
    run(main, parse_args)
