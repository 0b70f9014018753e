"""Draw where a network's classes come from: Grad-CAM of any layer, and the probability of each class.

Writes <save_dir>/<image>/cam_<class>.png (red is that image's highest) and probability_<class>.png (red is 1).
The score that Grad-CAM explains is the sum of a class's logits over the pixels predicted as that class, or over
--whole, --box or --pixel.
"""

import re

from paddleseg_ext.command import picture_arguments, run


def parse_args():
    parser = picture_arguments(__doc__, "output/heat_map")
    parser.add_argument("--layer", help="the layer to explain with (default: the last before the classes)")
    parser.add_argument("--list_layers", action="store_true", help="print the names of the layers and stop")
    parser.add_argument("--classes", nargs="+", help="names or numbers (default: all that are predicted)")
    region = parser.add_mutually_exclusive_group()
    region.add_argument("--whole", action="store_true", help="explain the class over the whole image")
    region.add_argument(
        "--box", nargs=4, type=int, metavar=("X1", "Y1", "X2", "Y2"), help="explain the class within a box of pixels"
    )
    region.add_argument("--pixel", nargs=2, type=int, metavar=("X", "Y"), help="explain the class at one pixel")
    return parser.parse_args()


def main(args):
    from paddleseg_ext.analysis.heat_map import choose_layer, grad_cam, heat_overlay, layer_shapes
    from paddleseg_ext.analysis.pictures import choose_pictures, for_each_picture
    from paddleseg_ext.builder import classes_of, find_run, load_config
    from paddleseg_ext.files import write_image
    from paddleseg_ext.segmenter import Segmenter

    path, weights = find_run(args.config, args.model_path)
    config = load_config(path, opts=args.opts)
    classes = classes_of(config)
    indices = [classes.index(name) for name in args.classes] if args.classes else None
    pictures = [] if args.list_layers else choose_pictures(config, args.image_path)
    segmenter = Segmenter.of(config, weights, args.device)

    shapes = layer_shapes(segmenter)
    if args.list_layers:
        for name, (_, channels, height, width) in shapes.items():
            print(f"{name}  {channels} channels, {width}x{height} for an image of 256x256")
        return 0
    layer = choose_layer(shapes, len(classes), args.layer)

    def draw(picture, image):
        for heat in grad_cam(segmenter, image, layer, indices, region(args, image.shape[:2])):
            folder = f"{args.save_dir}/{picture.name}"
            name = re.sub(r"[\s/\\]", "_", classes.names[heat.class_index])
            write_image(f"{folder}/cam_{name}.png", heat_overlay(image, heat.cam, heat.cam.max()))
            write_image(f"{folder}/probability_{name}.png", heat_overlay(image, heat.probability, 1))

    return for_each_picture(pictures, draw, f"{args.save_dir}, a folder for each image (heat of layer {layer})")


def region(args, shape):
    """The pixels that the flags name, or None for those predicted as the class."""
    import numpy as np

    from paddleseg_ext.analysis.heat_map import box_region

    if args.whole:
        return np.ones(shape, bool)
    if args.box:
        return box_region(shape, *args.box)
    if args.pixel:
        x, y = args.pixel
        return box_region(shape, x, y, x + 1, y + 1)
    return None


if __name__ == "__main__":
    run(main, parse_args)
