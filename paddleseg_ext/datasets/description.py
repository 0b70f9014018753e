"""What a data set's type and its section of a YAML tell about its classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from paddleseg.datasets import Cityscapes
from paddleseg.utils.visualize import get_color_map_list

from paddleseg_ext.command import UserError
from paddleseg_ext.datasets.cityscapes_classes import IGNORE_INDEX
from paddleseg_ext.datasets.gtav import GTAV
from paddleseg_ext.datasets.palettes import UNKNOWN, LabelDecoder


@dataclass(frozen=True)
class Description:
    """Names, colours (num_classes, 3) uint8 RGB, and the decoder of a data set that has its own kind of labels."""

    names: tuple[str, ...]
    colours: np.ndarray
    ignore_index: int
    decoder: LabelDecoder | None


def describe(dataset: type, settings: dict) -> Description:
    """Of the registered class `dataset` with the arguments `settings`.

    Raises:
        UserError: the number of classes is not known.
    """
    num_classes = getattr(dataset, "NUM_CLASSES", None) or settings.get("num_classes")
    if num_classes is None or not 0 < num_classes < UNKNOWN:
        raise UserError(f"num_classes: {num_classes}: give the number of classes, up to {UNKNOWN - 1}")
    named = GTAV if dataset is Cityscapes else dataset  # GTAV has the classes and colours of Cityscapes
    decoder_of = getattr(dataset, "decoder_of", lambda settings: None)
    names = getattr(named, "CLASSES", None) or (f"class {index}" for index in range(num_classes))
    colours = getattr(named, "PALETTE", None) or get_color_map_list(num_classes)
    return Description(
        names=tuple(names),
        colours=np.array(colours, np.uint8).reshape(-1, 3)[:num_classes],
        ignore_index=getattr(dataset, "IGNORE_INDEX", settings.get("ignore_index", IGNORE_INDEX)),
        decoder=decoder_of(settings),
    )
