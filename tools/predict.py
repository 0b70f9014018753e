"""Predict images (PaddleSeg's tools/predict.py); videos and exported networks too.

Writes <save_dir>/added_prediction (the image under the colours of its classes) and pseudo_color_prediction (the
classes as a palette PNG); of a video the former alone.
"""

import argparse
import os

from paddleseg_ext.command import UserError, add_network_arguments, add_test_arguments, merge_test_config, run


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    add_network_arguments(parser)
    parser.add_argument("--image_path", help="an image, a folder of images, a text file that lists images, or a video")
    parser.add_argument("--save_dir", default="./output/result", help="folder for the results (default: %(default)s)")
    add_test_arguments(parser, "--aug_pred")
    parser.add_argument(
        "--custom_color",
        nargs="+",
        type=int,
        help="colours of the classes: R G B R G B ... (default: those of the data set)",
    )
    ours = parser.add_argument_group("beyond PaddleSeg")
    ours.add_argument("--legend", action="store_true", help="name the classes below each added_prediction")
    ours.add_argument(
        "--backend",
        default="paddle",
        choices=["paddle", "inference", "onnxruntime"],
        help="what runs the network: Paddle itself, or an exported one in Paddle Inference or ONNX Runtime",
    )
    ours.add_argument(
        "--model_dir",
        help="the folder of an exported network, for --backend inference and onnxruntime; --config then gives names "
        "and colours of the classes",
    )
    ours.add_argument(
        "--precision",
        choices=["float32", "bfloat16", "float16", "int8"],
        help="of an exported network (default: float32)",
    )
    ours.add_argument("--threads", type=int, help="CPU threads of an exported network (default: all)")
    return parser.parse_args()


def main(args):
    from paddleseg_ext.analysis.pictures import tell_failed
    from paddleseg_ext.builder import find_run, load_config
    from paddleseg_ext.datasets.lists import list_images
    from paddleseg_ext.deploy.streaming import predict_pictures
    from paddleseg_ext.deploy.video import VIDEO_SUFFIXES, predict_video
    from paddleseg_ext.segmenter import Segmenter

    if args.image_path is None:
        raise UserError("--image_path is missing: give it an image, a folder, a list of images or a video")
    is_video = args.image_path.lower().endswith(VIDEO_SUFFIXES)
    if is_video and not os.path.isfile(args.image_path):
        raise UserError(f"--image_path {args.image_path}: there is no such file")
    pictures, folder = ([args.image_path], None) if is_video else list_images(args.image_path)
    pictures = without_results(args, pictures)
    if args.backend == "paddle":
        refuse_flags_of_exported(args)
        path, weights = find_run(args.config, args.model_path)
        config = load_config(path, opts=args.opts)
        test_config = merge_test_config(config.test_config, args, "aug_pred")
        segmenter = Segmenter.of(config, weights, args.device, test_config)
    else:
        config = None if args.config is None else load_config(args.config, opts=args.opts)
        segmenter = exported_segmenter(args)

    artist = make_artist(args, config)
    if is_video:
        summary = predict_video(args.image_path, segmenter, artist, args.save_dir)
    else:
        summary = predict_pictures(pictures, folder, segmenter, artist, args.save_dir)
    if summary.done:
        print(
            f"Written: {args.save_dir}/added_prediction{'' if is_video else ' and pseudo_color_prediction'} ({summary})"
        )
    return tell_failed(summary.failed, summary.done + len(summary.failed))


def without_results(args, pictures):
    """The images without the results of an earlier run, where --image_path is a folder above those."""
    folders = [os.path.join(args.save_dir, kind) for kind in ("added_prediction", "pseudo_color_prediction")]
    results = tuple(os.path.realpath(folder) + os.sep for folder in folders)
    others = [path for path in pictures if not os.path.realpath(path).startswith(results)]
    if not others or (len(others) < len(pictures) and not os.path.isdir(args.image_path)):
        raise UserError(
            f"--save_dir {args.save_dir}: the results there could replace the images of --image_path "
            f"{args.image_path}: give another folder"
        )
    return others


def refuse_flags_of_exported(args):
    for flag in ("model_dir", "precision", "threads"):
        if getattr(args, flag) is not None:
            raise UserError(
                f"--{flag} {getattr(args, flag)} is for exported networks: add --backend inference or onnxruntime"
            )


def exported_segmenter(args):
    from paddleseg_ext.deploy.runtimes import Deployment
    from paddleseg_ext.deploy.streaming import ExportedSegmenter

    if args.aug_pred or args.is_slide:
        raise UserError("--aug_pred and --is_slide need --backend paddle")
    if args.model_dir is None:
        raise UserError(f"--backend {args.backend} needs --model_dir, a folder that tools/export.py wrote")
    if args.threads is not None and args.threads < 1:
        raise UserError(f"--threads {args.threads}: give the number of CPU threads, at least 1")
    exported = Deployment(args.model_dir)
    exported.require_labels()

    def open_session(threads):
        return exported.session(args.backend, args.device, threads, args.precision or "float32")

    open_session(1)  # report what is wrong with it first
    return ExportedSegmenter(exported.transforms, open_session, args.threads)


def make_artist(args, config):
    """Draws in --custom_color, else in the colours of the data set, else in PaddleSeg's."""
    from paddleseg_ext.builder import classes_of
    from paddleseg_ext.datasets.description import Classes
    from paddleseg_ext.deploy.drawing import Artist, palette
    from paddleseg_ext.deploy.video import VIDEO_SUFFIXES

    classes = None if config is None or not config.val_dataset_cfg else classes_of(config)
    if args.custom_color and (len(args.custom_color) % 3 or not all(0 <= c <= 255 for c in args.custom_color)):
        raise UserError("--custom_color: give three numbers from 0 to 255 for each class: R G B R G B ...")
    if args.legend and args.image_path.lower().endswith(VIDEO_SUFFIXES):
        raise UserError("--legend is for images, not for videos: leave it out")
    if args.legend and classes is None:
        raise UserError("--legend needs --config with a val_dataset, which names the classes")
    colours = palette(args.custom_color)
    if classes is not None:
        if not args.custom_color:
            colours[: len(classes)] = classes.colours[: len(classes)]
        classes = Classes(classes.names, colours, classes.ignore_index)
    return Artist(colours, classes if args.legend else None)


if __name__ == "__main__":
    run(main, parse_args)
