"""The 19 Cityscapes classes: train ids, which networks learn, and label ids, which the benchmark's server reads."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

IGNORE_INDEX = 255


class TrainId(IntEnum):
    ROAD = 0
    SIDEWALK = 1
    BUILDING = 2
    WALL = 3
    FENCE = 4
    POLE = 5
    TRAFFIC_LIGHT = 6
    TRAFFIC_SIGN = 7
    VEGETATION = 8
    TERRAIN = 9
    SKY = 10
    PERSON = 11
    RIDER = 12
    CAR = 13
    TRUCK = 14
    BUS = 15
    TRAIN = 16
    MOTORCYCLE = 17
    BICYCLE = 18


CLASSES = tuple(train_id.name.lower().replace("_", " ") for train_id in TrainId)

LABEL_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""The label id of each train id."""

UNLABELED_ID = 0
"""The label id of every pixel that has none of the 19 classes."""


def train_ids_to_label_ids(train_ids: np.ndarray) -> np.ndarray:
    """A uint8 map of train ids as label ids; what is not a train id becomes `UNLABELED_ID`."""
    table = np.full(256, UNLABELED_ID, np.uint8)
    table[: len(LABEL_IDS)] = LABEL_IDS
    return table[train_ids]
