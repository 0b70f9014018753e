"""A trained network as a function: images to classes."""

from __future__ import annotations

import os
from typing import TypeAlias, overload

import numpy as np
from PIL import Image, ImageOps

from paddleseg_ext.builder import classes_of, find_run, load_config
from paddleseg_ext.files import orientation, read_image
from paddleseg_ext.segmenter import Segmenter

__all__ = ["Predictor"]

Picture: TypeAlias = "str | os.PathLike | Image.Image | np.ndarray"


class Predictor:
    """A trained network that labels images: ``labels = Predictor("output")("street.jpg")``.

    Images go through the validation transforms and the `test_config` of the YAML, as in PaddleSeg's predict.

    Args:
        model_path: the `save_dir` of a training (its best model is taken), a folder in it, or a .pdparams file.
        config: the YAML file; None: the config.yml of the training's folder.
        device: "gpu" (if there is one), "cpu", "xpu", "npu" or "mlu".

    Attributes:
        classes: names and colours (RGB) of the data set: ``predictor.classes.names[labels[y, x]]``.

    Raises:
        UserError: no weights or YAML there, or they do not fit each other.
    """

    def __init__(self, model_path: str | os.PathLike, config: str | os.PathLike | None = None, device: str = "gpu"):
        path, weights = find_run(None if config is None else os.fspath(config), os.fspath(model_path))
        settings = load_config(path)
        self.classes = classes_of(settings)
        self.segmenter = Segmenter.of(settings, weights, device)

    @overload
    def __call__(self, picture: Picture) -> np.ndarray: ...

    @overload
    def __call__(self, picture: list[Picture]) -> list[np.ndarray]: ...

    def __call__(self, picture: Picture | list[Picture]) -> np.ndarray | list[np.ndarray]:
        """The class of each pixel.

        Args:
            picture: a file, a Pillow image, or an array (H, W, 3), uint8, in BGR as OpenCV reads it. A list of them
                (sizes may differ) is labelled one by one. A network for grey images takes the same.

        Returns:
            uint8 (H, W), class indices at the image's own size; for a list of images a list.

        Raises:
            ValueError: no image, one of 32 bits, or an array of another shape or type.
            FileNotFoundError: there is no such file.
        """
        if isinstance(picture, list):
            return [self(one) for one in picture]
        return self.segmenter.predict(as_bgr(picture))


def as_bgr(picture: Picture) -> np.ndarray:
    """An image as uint8 BGR (H, W, 3); raises `ValueError` for anything that is not one."""
    if isinstance(picture, (str, os.PathLike)):
        return read_image(os.fspath(picture))
    if isinstance(picture, Image.Image):
        return pillow_as_bgr(picture)
    if isinstance(picture, np.ndarray) and picture.ndim == 3 and picture.shape[2] == 3 and picture.dtype == np.uint8:
        return picture
    what = f"{picture.dtype} of shape {picture.shape}" if isinstance(picture, np.ndarray) else type(picture).__name__
    raise ValueError(f"image is {what}; expected a path, a Pillow image or an array (H, W, 3), uint8, BGR")


def pillow_as_bgr(picture: Image.Image) -> np.ndarray:
    """What `read_image` gives for the file: EXIF turns it, 16 bits become 8, alpha is left out.

    Not so for the file of an RGBA TIFF, whose colours OpenCV multiplies by alpha.

    Raises:
        ValueError: an image of 32 bits.
    """
    picture.load()
    if orientation(picture) != 1:
        picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I;16"):
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if picture.mode in ("I", "F"):
        raise ValueError(f"image is a Pillow image of mode {picture.mode}; expected 8 or 16 bits a channel")
    return np.asarray(picture.convert("RGB"))[:, :, ::-1]
