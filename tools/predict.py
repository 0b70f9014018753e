"""Predict pictures (PaddleSeg's tools/predict.py); videos and exported networks too."""

import argparse
import sys

from paddleseg_ext.command import UserError, add_test_arguments, merge_test_config, run


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", help="the YAML file; an exported network needs none")
    parser.add_argument("--model_path", help="trained weights (.pdparams)")
    parser.add_argument(
        "--image_path", help="a picture, a folder of pictures, a text file that lists pictures, or a video"
    )
    parser.add_argument("--save_dir", default="./output/result", help="folder for the results (default: %(default)s)")
    parser.add_argument("--device", default="gpu", choices=["cpu", "gpu", "xpu", "npu", "mlu"])
    add_test_arguments(parser, "--aug_pred")
    parser.add_argument("--custom_color", nargs="+", type=int, help="colours of the classes: R G B R G B ...")
    ours = parser.add_argument_group("beyond PaddleSeg")
    ours.add_argument(
        "--backend",
        default="paddle",
        choices=["paddle", "inference", "onnxruntime"],
        help="what runs the network: Paddle itself, or an exported one in Paddle Inference or ONNX Runtime",
    )
    ours.add_argument("--model_dir", help="exported folder, for --backend inference and onnxruntime")
    ours.add_argument(
        "--precision",
        default="float32",
        choices=["float32", "bfloat16", "float16", "int8"],
        help="of an exported network (default: %(default)s)",
    )
    ours.add_argument("--threads", type=int, help="CPU threads of an exported network (default: all)")
    return parser.parse_args()


def main(args):
    from paddleseg_ext.deploy.streaming import VIDEO_SUFFIXES

    if args.image_path is None:
        raise UserError("--image_path is missing: give it a picture, a folder, a list of pictures or a video")
    is_video = args.image_path.lower().endswith(VIDEO_SUFFIXES)
    if args.backend == "paddle" and not is_video:
        return predict_with_paddleseg(args)
    return predict_stream(args, is_video)


def predict_with_paddleseg(args):
    from paddleseg.core import predict
    from paddleseg.transforms import Compose
    from paddleseg.utils import logger, utils

    from paddleseg_ext.builder import Builder, list_images, load_config, load_weights
    from paddleseg_ext.deploy.streaming import unreadable_picture

    config = load_config(args.config)
    test_config = merge_test_config(config.test_config, args, "aug_pred")
    if args.custom_color:
        test_config["custom_color"] = args.custom_color
    pictures, folder = list_images(args.image_path)

    utils.show_env_info()
    utils.show_cfg_info(config)
    utils.set_device(args.device)
    builder = Builder(config)
    network = builder.model
    if args.model_path is not None:
        load_weights(network, args.model_path)

    # predict() stops at the first picture that does not decode, so those are found before
    unreadable = {path: reason for path in pictures if (reason := unreadable_picture(path))}
    readable = [path for path in pictures if path not in unreadable]
    logger.info(f"The number of images: {len(readable)}")
    if readable:
        predict(
            network,
            model_path=args.model_path,
            transforms=Compose(builder.val_transforms),
            image_list=readable,
            image_dir=folder,
            save_dir=args.save_dir,
            **test_config,
        )
    return report_failed([f"{path}: {reason}" for path, reason in unreadable.items()], len(pictures))


def predict_stream(args, is_video):
    from paddleseg.transforms import Compose
    from paddleseg.utils import logger, utils, visualize

    from paddleseg_ext.builder import Builder, list_images, load_config, load_weights
    from paddleseg_ext.deploy.exporting import with_output_op
    from paddleseg_ext.deploy.runtimes import Deployment, EagerSession
    from paddleseg_ext.deploy.streaming import Artist, Lanes, Shared, predict_pictures, predict_video

    if args.aug_pred or args.is_slide:
        raise UserError("--aug_pred and --is_slide need --backend paddle and pictures")
    if args.backend == "paddle":
        utils.set_device(args.device)
        builder = Builder(load_config(args.config))
        transforms = Compose(builder.val_transforms)
        if args.model_path is not None:
            load_weights(builder.model, args.model_path)
        network = Shared(EagerSession(with_output_op(builder.model, "argmax")))
    else:
        if args.model_dir is None:
            raise UserError(f"--backend {args.backend} needs --model_dir, a folder that tools/export.py wrote")
        exported = Deployment(args.model_dir)
        if exported.output_op != "argmax":
            raise UserError(f"{args.model_dir}: its output is {exported.output_op!r}: export with --output_op argmax")
        transforms = exported.transforms
        exported.session(args.backend, args.device, 1, args.precision)  # what is wrong with it is told before all else
        network = Lanes(
            lambda threads: exported.session(args.backend, args.device, threads, args.precision), args.threads
        )

    artist = Artist(visualize.get_color_map_list(256, custom_color=args.custom_color))
    if is_video:
        summary = predict_video(args.image_path, transforms, network, artist, args.save_dir)
    else:
        pictures, folder = list_images(args.image_path)
        summary = predict_pictures(pictures, folder, transforms, network, artist, args.save_dir)
    logger.info(f"{summary}; saved in {args.save_dir}")
    return report_failed(summary.failed, summary.done + len(summary.failed))


def report_failed(failed, total):
    if failed:
        print(f"error: {len(failed)} of {total} could not be predicted:", *failed, sep="\n  ", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    run(main, parse_args)
