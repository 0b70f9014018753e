"""What PaddleSeg 2.8 needs to run, changed as later versions of PaddleSeg have it.

2.8.0, the newest on PyPI, was written for Paddle 2.4: before 0-D tensors (2.5) and before Paddle refused to mix
integers with floats (3.0).
"""

from __future__ import annotations

import cv2
import numpy as np
from paddleseg.core import train
from paddleseg.cvlibs import manager
from paddleseg.models import losses
from paddleseg.transforms import RandomPaddingCrop
from paddleseg.utils import metrics

from paddleseg_ext.host.patching import rewrite
from paddleseg_ext.host.registry import PADDLE_3, PADDLESEG_BEFORE_2_9, fixed_in_2_9


@fixed_in_2_9(
    "the trainer's log indexes its losses, which are 0-D since Paddle 2.5: IndexError: too many indices",
    "core/train.py",
)
def log_of_0d_losses():
    rewrite(train, ("[l[0] / log_iters for l in avg_loss_list]", "[l.item() / log_iters for l in avg_loss_list]"))


@fixed_in_2_9(
    "the areas per class are 0-D since Paddle 2.5: ValueError: the axis is expected to be in range of [0, 0)",
    "utils/metrics.py",
)
def areas_per_class():
    names = ("pred_area", "label_area", "intersect_area")
    rewrite(metrics.calculate_area, *((f"paddle.concat({name})", f"paddle.stack({name})") for name in names))


@fixed_in_2_9(
    "CrossEntropyLoss multiplies floats by integers (Paddle 3: TypeError: Type promotion), and with `weight` "
    "and `avg_non_ignore: False` takes the one-hot of the ignored label (ValueError: p_in_data[i] < depth_v)",
    "models/losses/cross_entropy_loss.py",
)
def cross_entropy_coefficients():
    rewrite(
        losses.CrossEntropyLoss._post_process_loss,
        ("if self.weight is not None:", "if self.avg_non_ignore and self.weight is not None:"),
        ("F.one_hot(label * mask,", "F.one_hot(label * mask.astype(label.dtype),"),
        ("paddle.mean(mask * coef)", "paddle.mean(mask * coef.astype(mask.dtype))"),
    )


@fixed_in_2_9(
    "OhemCrossEntropyLoss adds integers to floats as soon as it has pixels to choose from (TypeError: Type promotion)",
    "models/losses/ohem_cross_entropy_loss.py",
    needed=PADDLESEG_BEFORE_2_9 and PADDLE_3,
)
def ohem_cross_entropy_mask():
    rewrite(
        losses.OhemCrossEntropyLoss.forward,
        ("prob = prob + (1 - valid_mask)", "prob = prob + (1 - valid_mask).astype(prob.dtype)"),
    )


class AddEdgeLabel:
    """The boundaries of the label as `edge`, 0 and 1, as they are at its place in the list of transforms.

    They are PaddleSeg's `AddEdgeLabel` of version 2.9: Canny(0.1, 0.2), without the outer 6 pixels, where the images
    of some data sets have a rim, widened by a square.

    Args:
        edge_size: the side of the square in pixels.
        ignore_index: without effect, as in 2.9.
    """

    RIM = 6

    def __init__(self, edge_size: int = 4, ignore_index: int = 255):
        self.edge_size = edge_size

    def __call__(self, data: dict) -> dict:
        edge = cv2.Canny(data["label"], 0.1, 0.2)
        inner = (slice(self.RIM, -self.RIM),) * 2
        kept = np.zeros_like(edge)
        kept[inner] = edge[inner] > 0
        data["edge"] = cv2.dilate(kept, np.ones((self.edge_size, self.edge_size), np.uint8))
        data["gt_fields"].append("edge")
        return data


@fixed_in_2_9(
    "there is no AddEdgeLabel, which draws the boundary labels that BCELoss with edge_label takes: "
    "RuntimeError: the specified component was not found",
    "transforms/transforms.py",
)
def add_edge_label():
    if "AddEdgeLabel" not in manager.TRANSFORMS.components_dict:
        manager.TRANSFORMS.add_component(AddEdgeLabel)


@fixed_in_2_9(
    "RandomPaddingCrop with category_max_ratio (SegNeXt) puts the cropped label in the image's place: "
    "ValueError: operands could not be broadcast together",
    "transforms/transforms.py",
)
def crop_of_the_picture():
    rewrite(
        RandomPaddingCrop.__call__,
        ("data['img'] = seg_temp\n", "\n"),
        ("        else:\n            data['img'] = functional.crop(", "\n        data['img'] = functional.crop("),
    )
