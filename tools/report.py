"""Make one self-contained HTML page about a trained network, its worst images first.

Writes <save_dir>/report.html: IoU and boundary F-score of each class, the confusion matrix, and of the worst images
label, prediction, errors, boundaries and heat maps; then configuration and versions. Scores need labels.
"""

import sys
from pathlib import Path

from paddleseg_ext.command import UserError, one_line, picture_arguments, run


def parse_args():
    parser = picture_arguments(__doc__, "output/report", labels=True)
    parser.add_argument("--num_images", type=int, default=20, help="images to show (default: %(default)s)")
    parser.add_argument("--layer", help="the layer of the heat maps (default: the last before the classes)")
    parser.add_argument("--title", help="title of the page (default: the network and the config)")
    return parser.parse_args()


def main(args):
    from paddleseg_ext.analysis.heat_map import choose_layer, layer_shapes
    from paddleseg_ext.analysis.pictures import choose_pictures, for_each_picture
    from paddleseg_ext.analysis.report import Scores, make_entry, write_page
    from paddleseg_ext.builder import classes_of, find_run, load_config
    from paddleseg_ext.segmenter import Segmenter

    if args.num_images < 0:
        raise UserError(f"--num_images {args.num_images}: give the number of images to show, at least 0")
    config_path, weights = find_run(args.config, args.model_path)
    config = load_config(config_path, opts=args.opts)
    classes = classes_of(config)
    pictures = choose_pictures(config, args.image_path, args.label_path)
    as_val = {**config.test_config, "aug_pred": config.test_config.get("aug_eval")}  # the page shows the scores of val
    segmenter = Segmenter.of(config, weights, args.device, as_val)
    layer = None
    try:
        layer = choose_layer(layer_shapes(segmenter), len(classes), args.layer)
    except Exception as error:  # a network that heat maps do not suit
        if args.layer is not None:
            raise
        print(f"warning: the report has no heat maps: {one_line(error)}", file=sys.stderr)
    scores, entries = Scores(classes), []

    def score(picture, image):
        has_label = picture.label_path is not None
        label = classes.read_label(picture.label_path, image.shape[:2]) if has_label else None
        scores.add(picture, segmenter.logits(image), label)

    status = for_each_picture(pictures, score)
    if not scores.of_pictures:
        raise UserError("none of the images could be read (each is named above): give others by --image_path")

    worst = {score.picture: score for score in scores.worst(args.num_images)}

    def show(picture, image):
        entries.append(make_entry(worst[picture], image, segmenter, classes, layer))

    status = for_each_picture(list(worst), show) or status
    path = f"{args.save_dir}/report.html"
    title = args.title or f"{type(segmenter.model).__name__}, {'/'.join(Path(config_path).parts[-2:])}"
    trained = weights is not None or bool(config.dic["model"].get("pretrained"))
    write_page(path, title, config, scores, entries, layer, trained)
    print(f"Written: {path} (open it in a browser)")
    return status


if __name__ == "__main__":
    run(main, parse_args)
