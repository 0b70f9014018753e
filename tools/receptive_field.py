"""Print what the layers of a network see: theoretical and effective receptive fields.

Prints a table and writes <save_dir>/receptive_fields.json with size, stride and centre of each layer in input pixels,
traced through the network itself. The effective field is the input gradient of a layer's central output, averaged
over images, or over noise without --image_path; its area ratios are in the file and effective_<layer>.png shows it.
"""

import json
import os
from dataclasses import asdict

from paddleseg_ext.command import UserError, nearest, picture_arguments, run


def parse_args():
    parser = picture_arguments(__doc__, "output/receptive_field", default_pictures="seeded noise")
    parser.add_argument(
        "--layers",
        nargs="+",
        help="names of layers (default: all down to --depth; effective fields for those at depth 1)",
    )
    parser.add_argument(
        "--depth", type=int, default=2, help="how deep a layer's name may be nested, a.b being 2 (default: %(default)s)"
    )
    parser.add_argument(
        "--max_size",
        type=int,
        default=4096,
        help="largest input to trace; a field that does not fit counts as the whole input (default: %(default)s)",
    )
    parser.add_argument(
        "--input_size",
        nargs=2,
        type=int,
        default=[512, 512],
        metavar=("W", "H"),
        help="images are resized to it, noise is made in it (default: 512 512)",
    )
    parser.add_argument("--num_noise", type=int, default=8, help="noise inputs to average over (default: %(default)s)")
    return parser.parse_args()


def main(args):
    import paddle
    import paddle.nn.functional as F
    from paddleseg.utils import logger
    from tqdm import trange

    from paddleseg_ext.analysis.feature_maps import map_shapes
    from paddleseg_ext.analysis.pictures import for_each_picture, list_pictures
    from paddleseg_ext.analysis.receptive_field import (
        EffectiveFields,
        field_table,
        plot_effective,
        squares,
        theoretical_fields,
    )
    from paddleseg_ext.builder import find_run, load_config
    from paddleseg_ext.files import write_whole
    from paddleseg_ext.segmenter import Segmenter, input_channels

    config_path, weights = find_run(args.config, args.model_path)
    config = load_config(config_path, opts=args.opts)
    pictures = list_pictures(args.image_path) if args.image_path else []
    segmenter = Segmenter.of(config, weights, args.device)
    model, size = segmenter.model, args.input_size[::-1]
    channels = input_channels(config)
    names = choose_layers(args, map_shapes(model, paddle.zeros([1, channels, *size])))

    logger.info(f"tracing {len(names)} layers")
    fields = theoretical_fields(model, names, channels, args.max_size)
    print(field_table(fields))

    effective = EffectiveFields(model, names if args.layers else [name for name in names if "." not in name])

    def add_picture(_, image):
        effective.add(F.interpolate(segmenter.preprocess(image)[0], size, mode="bilinear"))

    if pictures:
        status = for_each_picture(pictures, add_picture)
        if not effective.count:
            raise UserError("none of the images could be read (each is named above): give others by --image_path")
    else:
        status = 0
        paddle.seed(0)
        for _ in trange(args.num_noise, unit="input"):
            effective.add(paddle.randn([1, channels, *size]))

    os.makedirs(args.save_dir, exist_ok=True)
    report = {name: asdict(field) for name, field in fields.items()}
    for name in effective.names:
        centre = effective.centre(name, fields[name])
        found = squares(effective.shares(name), centre)
        report[name]["effective"] = [asdict(square) for square in found]
        path = os.path.join(args.save_dir, f"effective_{name}.png")
        plot_effective(path, name, effective.shares(name), centre, found)
    write_whole(os.path.join(args.save_dir, "receptive_fields.json"), json.dumps(report, indent=2))
    print(f"Written: {args.save_dir}/receptive_fields.json and effective_<layer>.png")
    return status


def choose_layers(args, shapes):
    if args.layers is None:
        return [name for name in shapes if name.count(".") < args.depth]
    for name in args.layers:
        if name not in shapes:
            raise UserError(f"--layers {name}: the network has no such layer; {nearest(name, shapes)}")
    return args.layers


if __name__ == "__main__":
    run(main, parse_args)
