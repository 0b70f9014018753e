"""Labels as PaddleSeg's predict draws them."""

from __future__ import annotations

import os

import cv2
import numpy as np
from paddleseg.utils import visualize

from paddleseg_ext.analysis.segmentation import add_legend
from paddleseg_ext.datasets.description import Classes
from paddleseg_ext.files import replacing, write_image

IMAGE_WEIGHT = 0.6  # of the image under the colours, as PaddleSeg draws it


def palette(custom: list[int] | None = None) -> np.ndarray:
    """PaddleSeg's colours (256, 3) RGB uint8, the first of them replaced by `custom` (R, G, B, R, G, B, ...)."""
    return np.array(visualize.get_color_map_list(256, custom_color=custom), np.uint8).reshape(-1, 3)[:256]


class Artist:
    """Draws labels as PaddleSeg's predict does.

    Args:
        colours: (256, 3) RGB uint8; by default PaddleSeg's.
        legend: the classes to name below each image, if any.
    """

    def __init__(self, colours: np.ndarray | None = None, legend: Classes | None = None):
        colours = palette() if colours is None else colours
        self.palette = colours.ravel().tolist()
        self.bgr = np.ascontiguousarray(colours.reshape(256, 1, 3)[:, :, ::-1])
        self.legend = legend

    def blend(self, image: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """The image (H, W, 3) BGR under the colours of its labels (H, W) uint8."""
        return cv2.addWeighted(image, IMAGE_WEIGHT, cv2.applyColorMap(labels, self.bgr), 1 - IMAGE_WEIGHT, 0)

    def write(self, save_dir: str, name: str, stem: str, image: np.ndarray, labels: np.ndarray) -> None:
        """PaddleSeg's two images: added_prediction/<name> and pseudo_color_prediction/<stem>.png."""
        added = self.blend(image, labels)
        if self.legend is not None:
            added = add_legend(added, labels, self.legend)
        write_image(os.path.join(save_dir, "added_prediction", name), added)
        path = os.path.join(save_dir, "pseudo_color_prediction", stem + ".png")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with replacing(path) as partial:
            visualize.get_pseudo_color_map(labels, self.palette).save(partial, "PNG", compress_level=1)
