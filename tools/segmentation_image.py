"""Draw what a network predicts: colour maps, overlays with a legend, and panels beside image and label.

Writes <save_dir>/colour, overlay and panel, each with a file per image under its relative name.
"""

from paddleseg_ext.command import UserError, picture_arguments, run


def parse_args():
    parser = picture_arguments(__doc__, "output/segmentation", labels=True)
    parser.add_argument(
        "--output",
        choices=["main", "aux"],
        default="main",
        help="which output of the network to draw (default: %(default)s)",
    )
    parser.add_argument(
        "--opacity", type=float, default=0.5, help="of the colours over the image, 0 to 1 (default: %(default)s)"
    )
    return parser.parse_args()


def main(args):
    import numpy as np

    from paddleseg_ext.analysis.pictures import choose_pictures, for_each_picture
    from paddleseg_ext.analysis.segmentation import add_legend, colour_map, overlay, panel
    from paddleseg_ext.builder import classes_of, find_run, load_config
    from paddleseg_ext.files import write_image
    from paddleseg_ext.segmenter import Segmenter

    if not 0 <= args.opacity <= 1:
        raise UserError(f"--opacity {args.opacity}: give it a number from 0 to 1")
    path, weights = find_run(args.config, args.model_path)
    config = load_config(path, opts=args.opts)
    classes = classes_of(config)
    pictures = choose_pictures(config, args.image_path, args.label_path)
    segmenter = Segmenter.of(config, weights, args.device)

    def draw(picture, image):
        predicted = segmenter.predict(image, args.output)
        blended = overlay(image, predicted, classes, args.opacity)
        parts, shown = {"image": image}, predicted
        if picture.label_path is not None:
            label = classes.read_label(picture.label_path, image.shape[:2])
            parts["label"] = colour_map(label, classes)
            shown = np.stack([predicted, label])
        parts |= {"prediction": colour_map(predicted, classes), "overlay": blended}
        write_image(f"{args.save_dir}/colour/{picture.name}.png", parts["prediction"])
        write_image(f"{args.save_dir}/overlay/{picture.name}.png", add_legend(blended, predicted, classes))
        write_image(f"{args.save_dir}/panel/{picture.name}.png", add_legend(panel(parts), shown, classes))

    return for_each_picture(pictures, draw, f"{args.save_dir}/colour, overlay and panel")


if __name__ == "__main__":
    run(main, parse_args)
