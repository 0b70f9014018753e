"""From a YAML to built components, with errors that name the key and the fix."""

from __future__ import annotations

import inspect
import os

import numpy as np
import paddle
from paddleseg.cvlibs import Config, SegBuilder
from paddleseg.utils import get_image_list, utils

from paddleseg_ext.command import UserError, nearest, one_line
from paddleseg_ext.data_tools.sample_errors import checked_list, name_files_in_errors
from paddleseg_ext.datasets.pairing import read_list
from paddleseg_ext.files import PICTURE_SUFFIXES, below, read_yaml
from paddleseg_ext.weights.paddle_file import load_paddle_file


def load_config(path: str | None, **updates) -> Config:
    """PaddleSeg's `Config` of a YAML file; `updates` are its own (learning_rate, batch_size, iters, opts).

    Raises:
        UserError: no path, a file that is missing or not YAML, a `_base_` that is missing or goes in circles, or keys
            and values that PaddleSeg does not take.
    """
    if path is None:
        raise UserError("--config is missing: give it a YAML file (`paddleseg-ext configs` prints where some are)")
    if not os.path.isfile(path):
        raise UserError(f"--config {path}: there is no such file")
    _check_yaml(path, ())
    try:
        return Config(path, **updates)
    except Exception as error:  # whatever PaddleSeg makes of missing keys and wrong values
        raise UserError(f"{path}: not a config that PaddleSeg takes: {one_line(error)}") from error


def _check_yaml(path: str, derived: tuple[str, ...]) -> None:
    """Read a YAML file and all that its `_base_` names; `derived` are the files that led to it."""
    bases = read_yaml(path).get("_base_", [])
    bases = [bases] if isinstance(bases, str) else bases
    if not isinstance(bases, list) or not all(isinstance(base, str) for base in bases):
        raise UserError(f"{path}: its _base_ {bases!r} is not the path of a YAML file: fix it")
    for base in bases:
        base = os.path.normpath(os.path.join(os.path.dirname(path), base))
        if not os.path.isfile(base):
            raise UserError(f"{path}: its _base_ {base} is missing: fix the path")
        if base in derived or base == path:
            raise UserError(f"{path}: its _base_ {base} is based on this file: take one of the two out")
        _check_yaml(base, (*derived, path))


def set_data_format(config: Config, data_format: str) -> None:
    """PaddleSeg's ``--data_format``: NHWC, which its DeepLabV3P alone supports."""
    if data_format == "NHWC":
        if config.dic["model"]["type"] != "DeepLabV3P":
            raise UserError(f"--data_format NHWC works with DeepLabV3P only, not with {config.dic['model']['type']}")
        for part in (config.dic["model"], config.dic["model"]["backbone"], *config.dic["loss"]["types"]):
            part["data_format"] = data_format


class Builder(SegBuilder):
    """PaddleSeg's builder, which says what was meant when a `type` or an argument is misspelt, and whose data sets
    name the file when a list, a picture or a label is wrong."""

    def load_component_class(self, class_type):
        known = {}
        for manager in self.comp_list:
            known.update(manager.components_dict)
        if class_type not in known:
            raise UserError(f"type: {class_type} is not registered; {nearest(str(class_type), known)}")
        return super().load_component_class(class_type)

    def build_component_impl(self, component_class, *args, **kwargs):
        parameters = inspect.signature(component_class).parameters
        if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            for key in kwargs:
                if key not in parameters:
                    raise UserError(
                        f"type: {component_class.__name__} takes no argument {key!r}; {nearest(key, parameters)}"
                    )
        is_dataset = inspect.isclass(component_class) and issubclass(component_class, paddle.io.Dataset)
        if not is_dataset:
            return super().build_component_impl(component_class, *args, **kwargs)
        with checked_list(kwargs) as kwargs:
            return name_files_in_errors(super().build_component_impl(component_class, *args, **kwargs))


def load_network(config: Config, model_path: str | None, device: str = "gpu") -> paddle.nn.Layer:
    """The network of a config in evaluation mode on `device`, with the weights of `model_path` if one is given."""
    utils.set_device(device)
    network = Builder(config).model
    if model_path is not None:
        load_weights(network, model_path)
    network.eval()
    return network


def load_weights(network: paddle.nn.Layer, path: str) -> None:
    """Load weights that fit: PaddleSeg skips those that do not, which shows in bad figures only.

    Raises:
        UserError: `path` is not a file of weights, lacks an entry of `network` or has one of another shape or type.
    """
    weights = load_paddle_file(path)
    for name, tensor in network.state_dict().items():
        if name not in weights:
            raise UserError(f"{path}: no weights for {name}: are they of another network?")
        found, needed = (_shape_and_type(value) for value in (weights[name], tensor.numpy()))
        if found != needed:
            raise UserError(f"{path}: {name} is {found}, the network of the config needs {needed}")
    network.set_state_dict(weights)


def _shape_and_type(value) -> str:
    return f"{list(value.shape)} {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__


def list_images(path: str | None, flag: str = "--image_path", outside: bool = False) -> tuple[list[str], str | None]:
    """PaddleSeg's `get_image_list` (a picture, a folder or a list file) in sorted order, with the folder.

    Args:
        outside: whether a list may name files outside of its own folder. PaddleSeg's predict writes results under the
            same relative names, which would be outside of its `save_dir` then.

    Raises:
        UserError: there is no such file or folder, no picture in it, or a line of a list names no such file.
    """
    if path is None or not os.path.exists(path):
        raise UserError(f"{flag} {path}: give it a picture, a folder of pictures or a list of pictures")
    if os.path.isfile(path) and not path.lower().endswith(PICTURE_SUFFIXES):
        root = os.sep if outside else os.path.dirname(path)
        for number, line in read_list(path, "\n"):
            try:
                for name in line[0].split()[:2]:
                    below(root, name)
            except ValueError as error:
                raise UserError(f"{flag} {path}, line {number}: {error}") from error
    try:
        images, folder = get_image_list(path)
    except RuntimeError as error:
        raise UserError(f"{flag} {path}: holds no pictures ({', '.join(PICTURE_SUFFIXES)})") from error
    images = [image.replace("\ufeff", "") for image in images]  # the byte order mark of a list
    return sorted(image for image in images if not image.endswith(os.sep)), folder  # a list's empty line is no picture
