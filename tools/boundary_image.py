"""Draw boundaries: as a network predicts them, and as labels hold them.

Writes <save_dir>/probability and overlay (the pixels above --threshold in yellow) for each picture, and
binary and classes (in the colours of the classes) for each label. Labels alone need no weights:
leave --image_path out.
"""

from dataclasses import replace

from paddleseg.utils import logger

from paddleseg_ext.analysis.boundary_pictures import (
    boundary_probability,
    class_boundary_picture,
    grey,
    has_boundary_head,
    label_boundary,
    mark_boundary,
)
from paddleseg_ext.analysis.pictures import Classes, add_label_path, for_each_picture, list_pictures, picture_arguments
from paddleseg_ext.analysis.segmentation import Segmenter, add_legend
from paddleseg_ext.boundary import DEFAULT_WIDTH
from paddleseg_ext.builder import load_config
from paddleseg_ext.command import run
from paddleseg_ext.files import write_image


def parse_args():
    parser = picture_arguments(__doc__, "output/boundary")
    add_label_path(parser)
    parser.add_argument("--threshold", type=float, default=0.5, help="of the probability (default: %(default)s)")
    parser.add_argument(
        "--width",
        type=int,
        default=DEFAULT_WIDTH,
        help="thickness in pixels of the boundaries made from labels or classes (default: %(default)s)",
    )
    return parser.parse_args()


def main(args):
    config = load_config(args.config)
    classes = Classes.of(config)

    def draw_labels(picture, image):
        label = classes.read_label(picture.label_path, image.shape[:2])
        boundary = label_boundary(label, classes.ignore_index, args.width)
        coloured = class_boundary_picture(label, classes, args.width)
        write_image(f"{args.save_dir}/binary/{picture.name}.png", grey(boundary))
        write_image(f"{args.save_dir}/classes/{picture.name}.png", add_legend(coloured, label, classes))

    if args.image_path is None:
        labels = [
            replace(label, label_path=label.path) for label in list_pictures(args.label_path, flag="--label_path")
        ]
        return for_each_picture(labels, draw_labels)

    segmenter = Segmenter.of(config, args.model_path, args.device)
    if not has_boundary_head(segmenter):
        logger.info(f"{type(segmenter.model).__name__} has no boundary head: drawing the borders of its classes")

    def draw(picture, image):
        probability = boundary_probability(segmenter, image, args.width)
        write_image(f"{args.save_dir}/probability/{picture.name}.png", grey(probability))
        write_image(f"{args.save_dir}/overlay/{picture.name}.png", mark_boundary(image, probability > args.threshold))
        if picture.label_path is not None:
            draw_labels(picture, image)

    return for_each_picture(list_pictures(args.image_path, args.label_path), draw)


if __name__ == "__main__":
    run(main, parse_args)
