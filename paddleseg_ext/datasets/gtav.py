"""GTAV with the 19 Cityscapes classes or with all its 35."""

from __future__ import annotations

from paddleseg.cvlibs import manager

from paddleseg_ext.datasets.base import LabelTableDataset
from paddleseg_ext.datasets.cityscapes_classes import CLASSES, LABEL_IDS
from paddleseg_ext.datasets.palettes import GTAV as LABELS
from paddleseg_ext.datasets.palettes import LabelDecoder, gtav_decoder


@manager.DATASETS.add_component
class GTAV(LabelTableDataset):
    """GTAV ("Playing for Data", Richter et al., 2016), https://download.visinf.tu-darmstadt.de/data/from_games.

    Labels are the published palette PNGs, RGB PNGs of the same colours, or grey PNGs of label ids (0 to 34).
    Without lists, `dataset_root` holds images and labels, split by the published split.mat if it is there, else
    into half, a quarter and a quarter in the order of names; or images/train, labels/train, ...

    Arguments and errors are those of `LabelTableDataset`.
    """

    NUM_CLASSES = len(LABEL_IDS)
    CLASSES = CLASSES
    PALETTE = tuple(LABELS[label_id][1] for label_id in LABEL_IDS)
    LAYOUT = "gtav"

    @classmethod
    def decoder_of(cls, settings: dict) -> LabelDecoder:
        """How labels are read with the arguments `settings`."""
        return gtav_decoder(cls.NUM_CLASSES)


@manager.DATASETS.add_component
class GTAV35(GTAV):
    """GTAV with the label ids themselves as classes, as the authors of SANet train it.

    RGB labels cannot tell all of them apart: black is "unlabeled", the grey of poles is "pole", the blue of cars
    is "car".
    """

    NUM_CLASSES = len(LABELS)
    CLASSES = tuple(name for name, _ in LABELS)
    PALETTE = tuple(colour for _, colour in LABELS)
