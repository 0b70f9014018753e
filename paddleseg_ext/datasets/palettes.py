"""Classes and colours of CamVid and GTAV, and label images to classes by table look-up."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from PIL import Image

from paddleseg_ext.command import one_line
from paddleseg_ext.datasets.cityscapes_classes import IGNORE_INDEX, LABEL_IDS
from paddleseg_ext.files import open_picture

UNKNOWN = 254
"""What `LabelDecoder` gives a pixel whose value or colour the data set does not have."""

Colour = tuple[int, int, int]

# The names of mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid; a class's first colour is the class itself, the
# others are what the 32-class labels tell apart and the 11-class task does not.
CAMVID: dict[str, dict[str, Colour]] = {
    "Sky": {"Sky": (128, 128, 128)},
    "Building": {
        "Building": (128, 0, 0),
        "Archway": (192, 0, 128),
        "Bridge": (0, 128, 64),
        "Tunnel": (64, 0, 64),
        "Wall": (64, 192, 0),
    },
    "Pole": {"Column_Pole": (192, 192, 128), "TrafficCone": (0, 0, 64)},
    "Road": {"Road": (128, 64, 128), "LaneMkgsDriv": (128, 0, 192), "LaneMkgsNonDriv": (192, 0, 64)},
    "Sidewalk": {"Sidewalk": (0, 0, 192), "ParkingBlock": (64, 192, 128), "RoadShoulder": (128, 128, 192)},
    "Tree": {"Tree": (128, 128, 0), "VegetationMisc": (192, 192, 0)},
    "SignSymbol": {"SignSymbol": (192, 128, 128), "Misc_Text": (128, 128, 64), "TrafficLight": (0, 64, 64)},
    "Fence": {"Fence": (64, 64, 128)},
    "Car": {
        "Car": (64, 0, 128),
        "OtherMoving": (128, 64, 64),
        "SUVPickupTruck": (64, 128, 192),
        "Train": (192, 64, 128),
        "Truck_Bus": (192, 128, 192),
    },
    "Pedestrian": {
        "Pedestrian": (64, 64, 0),
        "Animal": (64, 128, 64),
        "CartLuggagePram": (64, 0, 192),
        "Child": (192, 128, 64),
    },
    "Bicyclist": {"Bicyclist": (0, 128, 192), "MotorcycleScooter": (192, 0, 192)},
}
CAMVID_VOID: Colour = (0, 0, 0)
CAMVID_VOID_ID = len(CAMVID)  # of the index PNGs

# Label id -> name and colour; GTAV's are those of Cityscapes, with an id of its own for license plates.
GTAV: tuple[tuple[str, Colour], ...] = (
    ("unlabeled", (0, 0, 0)),
    ("ego vehicle", (0, 0, 0)),
    ("rectification border", (0, 0, 0)),
    ("out of roi", (0, 0, 0)),
    ("static", (20, 20, 20)),
    ("dynamic", (111, 74, 0)),
    ("ground", (81, 0, 81)),
    ("road", (128, 64, 128)),
    ("sidewalk", (244, 35, 232)),
    ("parking", (250, 170, 160)),
    ("rail track", (230, 150, 140)),
    ("building", (70, 70, 70)),
    ("wall", (102, 102, 156)),
    ("fence", (190, 153, 153)),
    ("guard rail", (180, 165, 180)),
    ("bridge", (150, 100, 100)),
    ("tunnel", (150, 120, 90)),
    ("pole", (153, 153, 153)),
    ("polegroup", (153, 153, 153)),
    ("traffic light", (250, 170, 30)),
    ("traffic sign", (220, 220, 0)),
    ("vegetation", (107, 142, 35)),
    ("terrain", (152, 251, 152)),
    ("sky", (70, 130, 180)),
    ("person", (220, 20, 60)),
    ("rider", (255, 0, 0)),
    ("car", (0, 0, 142)),
    ("truck", (0, 0, 70)),
    ("bus", (0, 60, 100)),
    ("caravan", (0, 0, 90)),
    ("trailer", (0, 0, 110)),
    ("train", (0, 80, 100)),
    ("motorcycle", (0, 0, 230)),
    ("bicycle", (119, 11, 32)),
    ("license plate", (0, 0, 142)),
)


class LabelDecoder:
    """Label images of any kind to classes, by table look-up.

    Grey images hold ids, RGB(A) images hold colours. A palette image holds ids too, unless its palette is
    made of the data set's colours in another order (a colour image that a tool has saved with a palette).

    Args:
        classes: id (0 to 255) -> class, `IGNORE_INDEX` for void.
        colours: id -> colour (R, G, B). Where ids share a colour, a colour image means the first of them.
        more_colours: colour -> class, of colours that have no id.
    """

    def __init__(
        self, classes: dict[int, int], colours: dict[int, Colour], more_colours: dict[Colour, int] | None = None
    ):
        self.classes = classes
        self.colours = colours
        self._colour_classes = {colour: classes[i] for i, colour in reversed(colours.items())} | (more_colours or {})
        self._by_id = np.full(256, UNKNOWN, np.uint8)
        self._by_id[list(classes)] = list(classes.values())

    def read(self, path: str) -> np.ndarray:
        """The classes (H, W) of a label file, uint8; unknown values and colours are ignored like void.

        Raises:
            ValueError: not a label image; names the file.
        """
        try:
            with open_picture(path) as picture:
                label = self.decode(picture)
        except Exception as error:  # whatever a codec makes of a broken file
            raise ValueError(f"{path}: not a label that can be read: {one_line(error)}") from error
        label[label == UNKNOWN] = IGNORE_INDEX
        return label

    def decode(self, picture: Image.Image) -> np.ndarray:
        """The classes (H, W) of a label image, uint8, with `UNKNOWN` where it has no class of this data set."""
        if picture.mode in ("L", "1"):
            return self._by_id[np.asarray(picture, np.uint8)]
        if picture.mode == "P":
            return self._by_index(picture)[np.asarray(picture)]
        if picture.mode in ("RGB", "RGBA"):
            red_green_blue = np.asarray(picture.convert("RGBA")).view("<u4")[..., 0] & 0xFFFFFF
            return self._by_colour[red_green_blue]
        raise ValueError(f"image mode {picture.mode}, expected 8-bit grey, palette or RGB")

    def _by_index(self, picture: Image.Image) -> np.ndarray:
        """The class of each index of a palette image (256,)."""
        palette = np.array(picture.getpalette("RGB"), np.uint32).reshape(-1, 3)
        by_colour = self._by_colour[palette @ (1, 1 << 8, 1 << 16)]
        if UNKNOWN in by_colour:
            return self._by_id
        of_other_id = [tuple(colour) != self.colours.get(i) for i, colour in enumerate(palette.tolist())]
        table = self._by_id.copy()
        table[: len(palette)][of_other_id] = by_colour[of_other_id]
        return table

    @cached_property
    def _by_colour(self) -> np.ndarray:
        """Red + 256 green + 65536 blue -> class."""
        table = np.full(1 << 24, UNKNOWN, np.uint8)
        for (red, green, blue), index in self._colour_classes.items():
            table[red | green << 8 | blue << 16] = index
        return table


def camvid_decoder(others: str) -> LabelDecoder:
    """For the 11 classes; `others` says whether the rest of the 32 colours are "ignore"d or "merge"d into them."""
    classes = {i: i for i in range(len(CAMVID))} | dict.fromkeys((CAMVID_VOID_ID, IGNORE_INDEX), IGNORE_INDEX)
    colours, more_colours = {}, {}
    for index, members in enumerate(CAMVID.values()):
        colours[index], *rest = members.values()
        more_colours.update(dict.fromkeys(rest, index if others == "merge" else IGNORE_INDEX))
    colours[CAMVID_VOID_ID] = CAMVID_VOID
    return LabelDecoder(classes, colours, more_colours)


def gtav_decoder(num_classes: int) -> LabelDecoder:
    """For the 19 Cityscapes classes, or for all 35 label ids."""
    of_19 = {label_id: train_id for train_id, label_id in enumerate(LABEL_IDS)}
    classes = {i: i if num_classes == len(GTAV) else of_19.get(i, IGNORE_INDEX) for i in range(len(GTAV))}
    colours = {i: colour for i, (_, colour) in enumerate(GTAV)}
    return LabelDecoder(classes | {IGNORE_INDEX: IGNORE_INDEX}, colours)
