"""Draw boundaries: as a network predicts them, and as labels hold them.

Writes <save_dir>/probability and overlay (the pixels above --threshold in yellow) for each image, binary and classes
(in the colours of the classes) for each label, and panel with them side by side. With --label_path and no
--image_path, labels alone are drawn, which needs no weights.
"""

from paddleseg_ext.command import picture_arguments, run


def parse_args():
    parser = picture_arguments(__doc__, "output/boundary", labels=True)
    parser.add_argument("--threshold", type=float, default=0.5, help="of the probability (default: %(default)s)")
    parser.add_argument(
        "--width", type=int, help="pixels that boundaries made from labels or classes are thick (default: 4)"
    )
    return parser.parse_args()


def main(args):
    import cv2
    from paddleseg.utils import logger

    from paddleseg_ext.analysis.boundary_pictures import (
        boundary_probability,
        class_boundary_picture,
        grey,
        has_boundary_head,
        label_boundary,
        mark_boundary,
    )
    from paddleseg_ext.analysis.pictures import choose_pictures, for_each_picture, list_labels
    from paddleseg_ext.analysis.segmentation import add_legend, panel
    from paddleseg_ext.boundary import DEFAULT_WIDTH
    from paddleseg_ext.builder import classes_of, find_run, load_config
    from paddleseg_ext.files import write_image
    from paddleseg_ext.segmenter import Segmenter

    path, weights = find_run(args.config, args.model_path)
    config = load_config(path, opts=args.opts)
    classes = classes_of(config)
    width = DEFAULT_WIDTH if args.width is None else args.width

    def draw_labels(picture, image):
        label = classes.read_label(picture.label_path, image.shape[:2])
        binary = grey(label_boundary(label, classes.ignore_index, width))
        coloured = class_boundary_picture(label, classes, width)
        write_image(f"{args.save_dir}/binary/{picture.name}.png", binary)
        write_image(f"{args.save_dir}/classes/{picture.name}.png", add_legend(coloured, label, classes))
        return binary

    if args.image_path is None and args.label_path is not None:
        return for_each_picture(list_labels(args.label_path), draw_labels, f"{args.save_dir}/binary and classes")

    pictures = choose_pictures(config, args.image_path, args.label_path)
    segmenter = Segmenter.of(config, weights, args.device)
    if not has_boundary_head(segmenter):
        logger.info(f"{type(segmenter.model).__name__} has no boundary head: drawing the borders of its classes")

    def draw(picture, image):
        probability = boundary_probability(segmenter, image, width)
        parts = {"image": image, "predicted": grey(probability)}
        marked = mark_boundary(image, probability > args.threshold)
        write_image(f"{args.save_dir}/probability/{picture.name}.png", parts["predicted"])
        write_image(f"{args.save_dir}/overlay/{picture.name}.png", marked)
        if picture.label_path is not None:
            parts["label"] = draw_labels(picture, image)
        parts[f"predicted > {args.threshold:g}"] = marked
        parts = {
            title: part if part.ndim == 3 else cv2.cvtColor(part, cv2.COLOR_GRAY2BGR) for title, part in parts.items()
        }
        write_image(f"{args.save_dir}/panel/{picture.name}.png", panel(parts))

    of_labels = ", binary and classes" if any(picture.label_path for picture in pictures) else ""
    return for_each_picture(pictures, draw, f"{args.save_dir}/panel, probability, overlay{of_labels}")


if __name__ == "__main__":
    run(main, parse_args)
