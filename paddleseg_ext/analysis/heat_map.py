"""Where a class comes from: Grad-CAM (Selvaraju et al., ICCV 2017) of any layer, and the class's probability."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import paddle
import paddle.nn.functional as F
from paddleseg.core.infer import reverse_transform

from paddleseg_ext.analysis.feature_maps import map_shapes, run_with_maps, visit_maps
from paddleseg_ext.command import UserError, nearest
from paddleseg_ext.segmenter import Segmenter


@dataclass(frozen=True)
class HeatMap:
    """The heat of a class for an image (H, W): `cam` (H, W) >= 0, unscaled, and `probability` (H, W)."""

    class_index: int
    cam: np.ndarray
    probability: np.ndarray


def grad_cam(
    segmenter: Segmenter,
    image: np.ndarray,
    layer: str,
    class_indices: list[int] | None = None,
    region: np.ndarray | None = None,
) -> list[HeatMap]:
    """Grad-CAM of segmentation: the score of a class is the sum of its logits over a region of the image.

    cam = relu(sum_k mean(d score / d A_k) A_k) for the maps A_k of `layer`, resized to the image.

    Args:
        segmenter: the network and its preprocessing.
        image: a BGR image (H, W, 3).
        layer: the name of a map, see `visit_maps`.
        class_indices: the classes; None: all that are predicted in `region`.
        region: bool (H, W); None: for each class the pixels where it is predicted, or everywhere if it is nowhere.

    Raises:
        ValueError: an unknown layer, or one that the main output does not depend on.
    """
    features: list[paddle.Tensor] = []

    def cut_graph(name, value):
        if name == layer:
            value = value.detach()  # no gradient is needed before the layer
            value.stop_gradient = False
            features[:] = [value]
            return value.clone()  # the network may work in place
        return None

    x, trans_info = segmenter.preprocess(image)
    with visit_maps(segmenter.model, cut_graph):
        logits = segmenter.model(x)[0]
    if not features:
        raise ValueError(f"layer is {layer}; expected one of {list(map_shapes(segmenter.model, x))}")
    logits = reverse_transform(logits, trans_info, mode="bilinear")[0]
    probability = F.softmax(logits.detach(), axis=0).numpy()
    predicted = probability.argmax(axis=0)
    if class_indices is None:
        class_indices = np.unique(predicted if region is None else predicted[region]).tolist()

    def cam(index: int) -> np.ndarray:
        where = predicted == index if region is None else region
        if not where.any():
            where = np.ones_like(where)
        score = (logits[index] * paddle.to_tensor(where.astype("float32"))).sum()
        (gradient,) = paddle.grad(score, features, retain_graph=True, allow_unused=True)
        if gradient is None:
            raise ValueError(f"the main output does not depend on the layer {layer}")
        weights = gradient.mean(axis=[2, 3], keepdim=True)
        heat = F.relu((weights * features[0]).sum(axis=1, keepdim=True)).detach()
        heat = reverse_transform(F.interpolate(heat, x.shape[2:], mode="bilinear"), trans_info, mode="bilinear")
        return heat[0, 0].numpy()

    return [HeatMap(index, cam(index), probability[index]) for index in class_indices]


def box_region(shape: tuple[int, int], x1: int, y1: int, x2: int, y2: int) -> np.ndarray:
    """The pixels x1 <= x < x2, y1 <= y < y2 of an image of `shape` (H, W), as bool (H, W).

    Raises:
        ValueError: none of them lies in the image.
    """
    region = np.zeros(shape, bool)
    region[max(y1, 0) : max(y2, 0), max(x1, 0) : max(x2, 0)] = True
    if not region.any():
        raise ValueError(f"x {x1} to {x2}, y {y1} to {y2} lies outside the image of {shape[1]}x{shape[0]}")
    return region


def layer_shapes(segmenter: Segmenter) -> dict[str, list[int]]:
    """The maps that the main output depends on, with their shapes (1, C, H, W) for an image of 256x256.

    They are in running order. Those of auxiliary heads, for example, are not among them.
    """
    x, _ = segmenter.preprocess(np.zeros((256, 256, 3), np.uint8))
    x.stop_gradient = False
    (main, *_), maps = run_with_maps(segmenter.model, x)
    maps = {name: value for name, value in maps.items() if not value.stop_gradient}
    gradients = paddle.grad(main.sum(), list(maps.values()), allow_unused=True)
    return {name: value.shape for (name, value), gradient in zip(maps.items(), gradients) if gradient is not None}


def choose_layer(shapes: dict[str, list[int]], num_classes: int, wanted: str | None = None) -> str:
    """`wanted`, if it is one of `layer_shapes`, or without it the last map before the class logits.

    Raises:
        UserError: there is no such layer.
    """
    if wanted is None:
        features = [name for name, shape in shapes.items() if shape[1] != num_classes]
        if not features:
            raise UserError("--layer is missing: each layer of this network gives as many maps as there are classes")
        return features[-1]
    if wanted not in shapes:
        raise UserError(f"--layer {wanted}: the main output depends on no such layer; {nearest(wanted, shapes)}")
    return wanted


def heat_overlay(image: np.ndarray, heat: np.ndarray, peak: float) -> np.ndarray:
    """The BGR image under its heat (H, W) from blue (0) to red (`peak`)."""
    levels = np.uint8(np.clip(heat / max(peak, 1e-12), 0, 1) * 255)
    return cv2.addWeighted(image, 0.4, cv2.applyColorMap(levels, cv2.COLORMAP_TURBO), 0.6, 0)
