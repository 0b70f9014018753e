"""From an image to logits and classes at its own size, for all tools alike."""

from __future__ import annotations

import threading
from contextlib import contextmanager

import cv2
import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn
from paddleseg.core.infer import aug_inference, inference
from paddleseg.cvlibs import Config
from paddleseg.transforms import Compose, Normalize
from paddleseg.utils import utils

from paddleseg_ext.builder import Builder, load_network
from paddleseg_ext.command import UserError

_WINDOW = ("is_slide", "crop_size", "stride")
_AUGMENTATION = ("scales", "flip_horizontal", "flip_vertical")


class Segmenter:
    """A network and its preprocessing: from images to logits and classes of their size, as PaddleSeg predicts.

    It may be called from several threads: the network runs for one of them at a time.

    Args:
        model: a segmentation network in evaluation mode.
        transforms: of the validation set.
        test_config: as the YAML has it: `is_slide`, `crop_size` and `stride` of a sliding window; with `aug_pred`,
            `scales`, `flip_horizontal` and `flip_vertical` to average over.
        img_channels: that the network takes: 3, or 1 for grey.
    """

    workers = 2
    """Threads worth having: one runs the network, the other reads and draws."""

    def __init__(self, model: nn.Layer, transforms: list, test_config: dict | None = None, img_channels: int = 3):
        self.model = model
        self.transforms = Compose(transforms, img_channels=img_channels)
        settings = test_config or {}
        self._infer = aug_inference if settings.get("aug_pred") else inference
        wanted = (*_WINDOW, *_AUGMENTATION) if settings.get("aug_pred") else _WINDOW
        self._settings = {key: settings[key] for key in wanted if key in settings}
        self._one_at_a_time = threading.Lock()

    @classmethod
    def of(
        cls, config: Config, model_path: str | None = None, device: str = "gpu", test_config: dict | None = None
    ) -> Segmenter:
        """The network and the validation transforms of a config, with trained weights if there are any.

        Args:
            test_config: instead of the config's own.
        """
        network = load_network(config, model_path, device)
        test_config = config.test_config if test_config is None else test_config
        return cls(network, Builder(config).val_transforms, test_config, input_channels(config))

    def preprocess(self, image: np.ndarray) -> tuple[paddle.Tensor, list]:
        """A BGR image (H, W, 3) to the network's input (1, C, h, w) and what `reverse_transform` needs to go back."""
        data = prepare(image, self.transforms)
        return paddle.to_tensor(data["img"][np.newaxis]), data["trans_info"]

    def logits(self, image: np.ndarray, head: str = "main") -> paddle.Tensor:
        """The logits (1, K, H, W) of the "main", "aux" or "boundary" head for a BGR image (H, W, 3)."""
        return self._run(image, head)[1]

    def predict(self, image: np.ndarray, head: str = "main") -> np.ndarray:
        """The predicted classes (H, W), uint8, of a BGR image (H, W, 3)."""
        return self._run(image, head)[0][0, 0].numpy().astype(np.uint8)

    def _run(self, image: np.ndarray, head: str) -> tuple[paddle.Tensor, paddle.Tensor]:
        """The classes (1, 1, H, W) and the logits (1, K, H, W)."""
        x, trans_info = self.preprocess(image)
        with self._one_at_a_time, paddle.no_grad():
            return self._infer(lambda x: [head_logits(self.model, x, head)], x, trans_info, **self._settings)


def input_channels(config: Config) -> int:
    """The channels of the images that a config's network takes: 3, or 1 where the data set's `img_channels` is 1."""
    return utils.get_in_channels(config.model_cfg) or 3


def prepare(image: np.ndarray, transforms: Compose) -> dict:
    """``transforms({"img": image})`` of an image (H, W, 3) BGR, made grey first where they take one channel.

    Where `Normalize` is the only transform, its results for the 256 values are looked up, in a fifth of the time.
    """
    channels = transforms.img_channels
    if channels == 1:
        image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    operations = transforms.transforms
    if [type(operation) for operation in operations] != [Normalize] or not transforms.to_rgb:
        return transforms({"img": image.astype(np.float32)})
    values = np.arange(256, dtype=np.float32).repeat(channels).reshape(256, 1, channels)
    tables = cv2.split(operations[0]({"img": values})["img"])
    planes = [cv2.LUT(plane, table) for plane, table in zip(cv2.split(image)[::-1], tables)]
    return {"img": np.stack(planes), "trans_info": []}


def head_logits(model: nn.Layer, x: paddle.Tensor, head: str) -> paddle.Tensor:
    """Logits of one head for the input `x` (N, C, h, w), at its size.

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
