"""Draw what a network predicts: colour maps, overlays with a legend, and panels beside picture and label.

Writes <save_dir>/colour, overlay and panel, each with a file per picture under its relative name.
"""

import numpy as np

from paddleseg_ext.analysis.pictures import Classes, add_label_path, for_each_picture, list_pictures, picture_arguments
from paddleseg_ext.analysis.segmentation import Segmenter, add_legend, colour_map, overlay, panel
from paddleseg_ext.builder import load_config
from paddleseg_ext.command import UserError, run
from paddleseg_ext.files import write_image


def parse_args():
    parser = picture_arguments(__doc__, "output/segmentation")
    add_label_path(parser)
    parser.add_argument("--output", choices=["main", "aux"], default="main", help="which output (default: %(default)s)")
    parser.add_argument(
        "--opacity", type=float, default=0.5, help="of the colours over the picture, 0 to 1 (default: %(default)s)"
    )
    return parser.parse_args()


def main(args):
    if not 0 <= args.opacity <= 1:
        raise UserError(f"--opacity {args.opacity}: give it a number from 0 to 1")
    config = load_config(args.config)
    classes = Classes.of(config)
    pictures = list_pictures(args.image_path, args.label_path)
    segmenter = Segmenter.of(config, args.model_path, args.device)

    def draw(picture, image):
        predicted = segmenter.predict(image, args.output)
        blended = overlay(image, predicted, classes, args.opacity)
        parts, shown = [image, colour_map(predicted, classes), blended], predicted
        if picture.label_path is not None:
            label = classes.read_label(picture.label_path, image.shape[:2])
            parts.insert(1, colour_map(label, classes))
            shown = np.stack([predicted, label])
        write_image(f"{args.save_dir}/colour/{picture.name}.png", colour_map(predicted, classes))
        write_image(f"{args.save_dir}/overlay/{picture.name}.png", add_legend(blended, predicted, classes))
        write_image(f"{args.save_dir}/panel/{picture.name}.png", add_legend(panel(parts), shown, classes))

    return for_each_picture(pictures, draw)


if __name__ == "__main__":
    run(main, parse_args)
