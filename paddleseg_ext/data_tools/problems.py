"""The kinds of mistakes in a data set, each with its fix."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from paddleseg_ext.command import UserError

ONE_BIT = "1-bit: save it as 8-bit grey, where 1 becomes 255"
"""Of a label that Pillow, and so PaddleSeg, reads as bool, which its transforms refuse."""

KINDS: dict[str, tuple[str, str]] = {
    "list_missing": (
        "The list file is missing",
        "write it with tools/new_config.py or tools/create_dataset_list.py, or fix the path in the YAML",
    ),
    "list_line": (
        "A line of a list is not an image and a label",
        "write `image label` with one separator, / in paths and names in UTF-8; set that `separator` in the YAML",
    ),
    "no_images": ("A split has no images", "fix dataset_root, or the list"),
    "image_missing": ("There is no such image", "add the file, or take its label or line out"),
    "label_missing": (
        "There is no such label",
        "add the file, or take its image or line out (Cityscapes: convert_cityscapes.py makes *_labelTrainIds.png)",
    ),
    "pair_crossed": (
        "An image has the label of another image",
        "pair images and labels by name: tools/create_dataset_list.py does",
    ),
    "listed_twice": ("A list names the image twice", "take one of the lines out"),
    "duplicate": (
        "The same image is in two splits",
        "keep it in one: figures measured on images that were trained on are too good",
    ),
    "size_outlier": (
        "The image is far larger than the others",
        "cut it and its label into tiles or scale both down: evaluation takes whole images into memory",
    ),
    "too_large": (
        "The header declares more pixels than there can be",
        "replace the file, or cut the image into tiles",
    ),
    "image_unreadable": ("The image cannot be decoded", "copy or download it again"),
    "label_unreadable": ("The label cannot be decoded", "copy or download it again"),
    "label_shapes": ("The JSON gives no label", "fix the shape in labelme, or take the image out"),
    "image_channels": (
        "The image's channels are not what the data set has",
        "save it as an 8-bit image with as many channels as img_channels says",
    ),
    "image_rotated": (
        "The image has an EXIF rotation, which OpenCV applies to it and nothing to its label",
        "rotate the pixels and remove the EXIF tag",
    ),
    "image_blank": ("The image has one colour only", "take it and its label out"),
    "size_mismatch": ("Image and label have different sizes", "resize the label with nearest neighbour"),
    "label_lossy": (
        "The label is a JPEG, which changes its values",
        "export the labels again as PNG; a converted JPEG keeps the wrong values",
    ),
    "label_rgb": (
        "The label is a colour image, expected one channel of class indices",
        "map each colour to its class index and save one channel, 0 for the first class",
    ),
    "label_depth": (
        "The label has more than 8 bits (instanceIds?)",
        "save class indices as an 8-bit PNG; for Cityscapes use *_labelTrainIds.png",
    ),
    "label_0_255": (
        "The label is a 0/255 mask",
        "divide it by 255, so that the object is class 1 (255 is ignored in training)",
    ),
    "label_ids": (
        "The label holds Cityscapes labelIds, expected trainIds",
        "convert with PaddleSeg's tools/data/convert_cityscapes.py and list *_labelTrainIds.png",
    ),
    "label_one_based": (
        "The classes are numbered from 1",
        "subtract 1 from the label, so that classes are 0 to num_classes - 1",
    ),
    "label_range": (
        "The label holds values that are no class",
        "give these pixels a class or the ignore index, or raise num_classes",
    ),
    "label_colour": (
        "The label holds colours that are no class of the data set",
        "save labels without smoothing (nearest neighbour, PNG) in the data set's colours",
    ),
    "label_empty": ("The label is ignored everywhere", "label the image, or take it out: nothing is learnt from it"),
}
"""kind -> what it is, and the fix."""


@dataclass(frozen=True)
class Problem:
    """One mistake; `extent` is the share of the label's pixels that it concerns."""

    kind: str
    split: str
    file: str
    detail: str
    extent: float = 1.0
    image: str | None = None
    label: str | None = None


def check_kinds(kinds: Iterable[str]) -> None:
    """Raises `UserError` for what ``--ignore`` was given and is no kind."""
    for kind in kinds:
        if kind not in KINDS:
            raise UserError(f"--ignore {kind}: expected one of {', '.join(KINDS)}")
