"""Turn predictions on Cityscapes into the ZIP of label ids that its server takes, checked; on val, score them.

# with a network, or with the train ids that something else has predicted
paddleseg-ext cityscapes_submission --dataset_root data/cityscapes --model_path output/my
paddleseg-ext cityscapes_submission --dataset_root data/cityscapes --predictions FOLDER
# the official evaluation (cityscapesscripts), on a split with labels
paddleseg-ext cityscapes_submission --dataset_root data/cityscapes --predictions FOLDER --split val --score
"""

from __future__ import annotations

import argparse
from pathlib import Path

from paddleseg_ext.command import UserError, add_network_arguments, run


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--dataset_root", default="data/cityscapes", help="the folder with leftImg8bit (default: %(default)s)"
    )
    parser.add_argument("--split", default="test", help="the split to predict (default: %(default)s)")
    parser.add_argument(
        "--predictions",
        help="instead of a network: folder of PNGs with train ids, named <city>_<sequence>_<frame>*.png",
    )
    add_network_arguments(parser)
    parser.add_argument(
        "--save_dir",
        default="output/cityscapes_submission",
        help="folder for the results, in which submission/ and submission.zip are replaced (default: %(default)s)",
    )
    parser.add_argument("--score", action="store_true", help="also evaluate with cityscapesscripts; needs labels")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    from paddleseg_ext.data_tools import cityscapes_submission as submission

    if (args.predictions is None) == (args.model_path is None):
        raise UserError(
            "give either --model_path, the --save_dir of a training or a .pdparams file, or --predictions FOLDER"
        )
    replaced = Path(args.save_dir, submission.FOLDER).resolve()
    if args.predictions and Path(args.predictions).resolve().is_relative_to(replaced):
        raise UserError(f"--predictions {args.predictions}: {replaced} will be replaced: give another --save_dir")
    scenes = submission.find_scenes(args.dataset_root, args.split)
    evaluation = submission.official_evaluation(scenes) if args.score else None
    predictions = submission.read_predictions(args.predictions, scenes) if args.predictions else predict(args, scenes)
    archive = submission.make_submission(scenes, predictions, args.save_dir)
    print(f"{archive}: {len(scenes)} images, checked")
    if evaluation is not None:
        for name, iou in submission.score(evaluation, scenes, args.save_dir).items():
            print(f"{name:15s} {iou:.4f}")


def predict(args: argparse.Namespace, scenes):
    """The train ids that the network of `--model_path` predicts for each scene."""
    from paddleseg_ext.builder import find_run, load_config
    from paddleseg_ext.files import read_image
    from paddleseg_ext.segmenter import Segmenter

    path, weights = find_run(args.config, args.model_path)
    segmenter = Segmenter.of(load_config(path, opts=args.opts), weights, args.device)
    return (segmenter.predict(read_image(str(scene.image))) for scene in scenes)


if __name__ == "__main__":
    run(main, parse_args)
