"""Make one self-contained HTML page about a trained network, its worst pictures first.

Writes <save_dir>/report.html: IoU and boundary F-score of each class, the confusion matrix, and of the worst pictures
the label, prediction, boundary and heat maps; then configuration and versions. Scores need labels.
"""

from paddleseg.utils import logger

from paddleseg_ext.analysis.heat_map import choose_layer, layer_shapes
from paddleseg_ext.analysis.pictures import (
    Classes,
    add_label_path,
    for_each_picture,
    list_pictures,
    picture_arguments,
)
from paddleseg_ext.analysis.report import Scores, make_entry, write_page
from paddleseg_ext.analysis.segmentation import Segmenter
from paddleseg_ext.builder import load_config
from paddleseg_ext.command import UserError, run


def parse_args():
    parser = picture_arguments(__doc__, "output/report")
    add_label_path(parser)
    parser.add_argument("--num_pictures", type=int, default=20, help="pictures to show (default: %(default)s)")
    parser.add_argument("--layer", help="the layer of the heat maps (default: the last before the classes)")
    parser.add_argument("--title", help="of the page (default: the network and the config)")
    return parser.parse_args()


def main(args):
    config = load_config(args.config)
    classes = Classes.of(config)
    pictures = list_pictures(args.image_path, args.label_path)
    segmenter = Segmenter.of(config, args.model_path, args.device)
    layer = choose_layer(layer_shapes(segmenter), len(classes), args.layer)
    scores, entries = Scores(classes), []

    def score(picture, image):
        has_label = picture.label_path is not None
        label = classes.read_label(picture.label_path, image.shape[:2]) if has_label else None
        scores.add(picture, segmenter.logits(image), label)

    status = for_each_picture(pictures, score)
    if not scores.of_pictures:
        raise UserError(f"--image_path {args.image_path}: none of its pictures could be read")

    worst = {score.picture: score for score in scores.worst(args.num_pictures)}

    def show(picture, image):
        entries.append(make_entry(worst[picture], image, segmenter, classes, layer))

    status = for_each_picture(list(worst), show) or status
    path = f"{args.save_dir}/report.html"
    write_page(path, args.title or f"{type(segmenter.model).__name__}, {args.config}", config, scores, entries, layer)
    logger.info(f"wrote {path}")
    return status


if __name__ == "__main__":
    run(main, parse_args)
