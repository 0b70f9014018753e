"""Export a network for inference (PaddleSeg's tools/export.py), folded, as ONNX and int8 too, checked when written."""

import argparse
import os

from paddleseg_ext.command import UserError, add_network_arguments, run


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    add_network_arguments(parser, device=False)
    parser.add_argument("--save_dir", default="./output/inference_model", help="folder to write (default: %(default)s)")
    parser.add_argument(
        "--input_shape",
        nargs="+",
        type=int,
        help="fixed input shape, e.g. 1 3 1024 2048; without it batch, height and width may vary",
    )
    parser.add_argument(
        "--output_op",
        choices=["argmax", "softmax", "none"],
        default="argmax",
        help="the last operation: labels, probabilities or logits (default: %(default)s)",
    )
    ours = parser.add_argument_group("beyond PaddleSeg")
    ours.add_argument("--fold_bn", action="store_true", help="fold batch norms into the convolutions beside them")
    ours.add_argument("--onnx", action="store_true", help="write model.onnx too (with paddle2onnx)")
    ours.add_argument(
        "--precision",
        nargs="+",
        default=[],
        choices=["int8", "bfloat16"],
        help="reduced precisions to judge; int8 also writes model_int8.onnx",
    )
    ours.add_argument(
        "--image_path",
        help="images to check with and to calibrate int8 on (an image, a folder or a list); without it seeded noise",
    )
    ours.add_argument("--num_calibration", type=int, default=32, help="images for int8 (default: %(default)s)")
    ours.add_argument(
        "--num_eval",
        type=int,
        help="images of the YAML's val_dataset for the mIoU of each precision; 0: none (default: all)",
    )
    return parser.parse_args()


def main(args):
    from paddleseg.utils import utils

    from paddleseg_ext.builder import Builder, find_run, load_config, load_network
    from paddleseg_ext.deploy.exporting import calibration_inputs, checking_inputs, export

    path, weights = find_run(args.config, args.model_path)
    config = load_config(path, opts=args.opts)
    if args.input_shape is not None and (len(args.input_shape) != 4 or min(args.input_shape) < 1):
        raise UserError(f"--input_shape {args.input_shape}: give four numbers, e.g. 1 3 1024 2048")
    if args.num_calibration < 1:
        raise UserError(f"--num_calibration {args.num_calibration}: give the number of images, 1 or more")
    if "int8" in args.precision and not (args.onnx and args.image_path):
        raise UserError("--precision int8 needs --onnx, and --image_path with images to calibrate on")
    transforms = config.val_dataset_cfg.get("transforms")
    if transforms is None:
        raise UserError(f"{path}: it has no val_dataset with transforms, which deploy.yaml repeats")

    utils.show_env_info()
    utils.show_cfg_info(config)
    os.environ["PADDLESEG_EXPORT_STAGE"] = "True"
    network = load_network(config, weights, "cpu")

    calibration, dataset = (), None
    if "int8" in args.precision:
        calibration = calibration_inputs(config, args.image_path, args.input_shape, args.num_calibration)
    if args.precision and args.num_eval != 0:
        dataset = Builder(config).val_dataset
        dataset.file_list = dataset.file_list[: args.num_eval]
    export(
        network,
        args.save_dir,
        transforms,
        checking_inputs(config, args.image_path, args.input_shape),
        input_shape=args.input_shape,
        output_op=args.output_op,
        fold=args.fold_bn,
        onnx=args.onnx,
        precisions=args.precision,
        calibration=calibration,
        dataset=dataset,
    )
    print(f"Written: {args.save_dir} (what was checked: comparison.json)")


if __name__ == "__main__":
    run(main, parse_args)
