"""What a network predicts for a picture, and that as colours: maps, overlays with a legend, panels."""

from __future__ import annotations

from contextlib import contextmanager

import cv2
import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn
from paddleseg.core.infer import inference
from paddleseg.cvlibs import Config
from paddleseg.transforms import Compose

from paddleseg_ext.analysis.pictures import Classes
from paddleseg_ext.builder import Builder, load_network
from paddleseg_ext.command import UserError

WHITE = (255, 255, 255)
INK = (40, 40, 40)


class Segmenter:
    """A network and its preprocessing: from pictures to logits of their size, as PaddleSeg's predict has it.

    Args:
        model: a segmentation network in evaluation mode.
        transforms: of the validation set.
        window: `is_slide`, `crop_size` and `stride` of PaddleSeg's `inference`, where a sliding window is wanted.
    """

    def __init__(self, model: nn.Layer, transforms: list, window: dict | None = None):
        self.model = model
        self.transforms = Compose(transforms)
        self.window = window or {}

    @classmethod
    def of(cls, config: Config, model_path: str | None = None, device: str = "gpu") -> Segmenter:
        """The network, validation transforms and `test_config` of a config, with trained weights if there are any."""
        test = config.test_config
        window = {key: test[key] for key in ("is_slide", "crop_size", "stride") if key in test}
        return cls(load_network(config, model_path, device), Builder(config).val_transforms, window)

    def preprocess(self, image: np.ndarray) -> tuple[paddle.Tensor, list]:
        """A BGR picture (H, W, 3) to the network's input (1, 3, h, w) and what `reverse_transform` needs to go back."""
        data = self.transforms({"img": image.astype("float32")})
        return paddle.to_tensor(data["img"][np.newaxis]), data["trans_info"]

    @paddle.no_grad()
    def logits(self, image: np.ndarray, head: str = "main") -> paddle.Tensor:
        """The logits (1, K, H, W) of the "main", "aux" or "boundary" head for a BGR picture (H, W, 3)."""
        x, trans_info = self.preprocess(image)
        _, logits = inference(lambda x: [head_logits(self.model, x, head)], x, trans_info, **self.window)
        return logits

    def predict(self, image: np.ndarray, head: str = "main") -> np.ndarray:
        """The predicted classes (H, W), uint8."""
        return self.logits(image, head)[0].argmax(axis=0).numpy().astype(np.uint8)


def head_logits(model: nn.Layer, x: paddle.Tensor, head: str) -> paddle.Tensor:
    """Logits of one head for the input `x` (N, 3, h, w), at its size.

    "aux" of a network without `forward_heads` is the second map of class logits that it returns in training.
    """
    if head == "main":
        return model(x)[0]
    if hasattr(model, "forward_heads"):
        heads = model.forward_heads(x)
    else:
        with training_outputs(model):
            main, *others = model(x)
        maps = [other for other in others if isinstance(other, paddle.Tensor) and other.ndim == 4]
        heads = dict(zip(["aux"], [other for other in maps if other.shape[1] == main.shape[1]]))
    if head not in heads:
        raise UserError(f"{type(model).__name__} has no {head} output: choose another output or network")
    return F.interpolate(heads[head], x.shape[2:], mode="bilinear")


@contextmanager
def training_outputs(model: nn.Layer):
    """Within it the network returns what it returns in training, computed as in evaluation.

    Layers that hold others decide what is returned: they are set to training. Those that hold none (batch norms,
    dropouts) stay in evaluation, so that nothing is random and no statistic moves.
    """
    modes = [(layer, layer.training) for layer in model.sublayers(include_self=True)]
    try:
        for layer, _ in modes:
            layer.training = bool(layer.sublayers())
        yield
    finally:
        for layer, training in modes:
            layer.training = training


def colour_map(labels: np.ndarray, classes: Classes) -> np.ndarray:
    """Class indices (H, W) as a BGR picture in the colours of the data set."""
    return np.ascontiguousarray(classes.colours[labels][..., ::-1])


def overlay(image: np.ndarray, labels: np.ndarray, classes: Classes, opacity: float) -> np.ndarray:
    """The BGR picture under the class colours; opacity 0 leaves the picture, 1 the colours; ignored pixels stay."""
    blended = cv2.addWeighted(image, 1 - opacity, colour_map(labels, classes), opacity, 0)
    return np.where(labels[..., None] < len(classes), blended, image)


def add_legend(image: np.ndarray, labels: np.ndarray, classes: Classes) -> np.ndarray:
    """The picture over a strip that names the classes in `labels` with their colours, as many rows as they need."""
    scale = min(max(0.4, image.shape[1] / 2400), 2)
    thickness, row = max(1, round(2 * scale)), round(36 * scale)
    entries, x, y = [], row // 4, 0
    for index in np.unique(labels[labels < len(classes)]):
        (width, _), _ = cv2.getTextSize(classes.names[index], cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
        if entries and x + row + width > image.shape[1]:
            x, y = row // 4, y + row
        entries.append((index, x, y))
        x += row + width + row // 2
    strip = np.full((y + row, image.shape[1], 3), WHITE, np.uint8)
    for index, x, y in entries:
        swatch = (x, y + row // 5), (x + row * 3 // 5, y + row * 4 // 5)
        cv2.rectangle(strip, *swatch, classes.colours[index][::-1].tolist(), cv2.FILLED)
        cv2.rectangle(strip, *swatch, INK, 1)
        cv2.putText(
            strip,
            classes.names[index],
            (x + row * 4 // 5, y + row * 7 // 10),
            cv2.FONT_HERSHEY_SIMPLEX,
            scale,
            INK,
            thickness,
            cv2.LINE_AA,
        )
    return np.vstack([image, strip])


def panel(images: list[np.ndarray]) -> np.ndarray:
    """BGR pictures of one height side by side, white gaps between them."""
    gap = np.full((images[0].shape[0], max(2, images[0].shape[1] // 100), 3), WHITE, np.uint8)
    parts = [part for image in images for part in (gap, image)]
    return np.hstack(parts[1:])
