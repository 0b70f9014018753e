"""From a YAML to built components, with errors that name the key and the mend."""

from __future__ import annotations

import inspect
import os

import paddle
import yaml
from paddleseg.cvlibs import Config, SegBuilder
from paddleseg.utils import get_image_list, utils

from paddleseg_ext.command import UserError, nearest
from paddleseg_ext.datasets.guard import check_list, guard


def load_config(path: str | None, **updates) -> Config:
    """PaddleSeg's `Config` of a YAML file; `updates` are its own (learning_rate, batch_size, iters, opts).

    Raises:
        UserError: no path, a file that is missing or not YAML, or a `_base_` that is missing.
    """
    if path is None:
        raise UserError("--config is missing: give it a YAML file (`paddleseg-ext configs` prints where some are)")
    if not os.path.isfile(path):
        raise UserError(f"--config {path}: there is no such file")
    try:
        return Config(path, **updates)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{mark.name}, line {mark.line + 1}" if mark else path
        raise UserError(f"{where}: not valid YAML: {getattr(error, 'problem', None) or error}") from error
    except FileNotFoundError as error:
        raise UserError(f"{path}: its _base_ {error.filename} is missing: mend the path") from error


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
        if is_dataset:
            check_list(kwargs)
        component = super().build_component_impl(component_class, *args, **kwargs)
        return guard(component) if is_dataset else component


def load_network(config: Config, model_path: str | None, device: str = "gpu") -> paddle.nn.Layer:
    """The network of a config in evaluation mode on `device`, with the weights of `model_path` if one is given."""
    if model_path is not None and not os.path.isfile(model_path):
        raise UserError(f"--model_path {model_path}: there is no such file")
    utils.set_device(device)
    model = Builder(config).model
    if model_path is not None:
        utils.load_entire_model(model, model_path)
    model.eval()
    return model


def list_images(path: str | None, flag: str = "--image_path") -> tuple[list[str], str | None]:
    """PaddleSeg's `get_image_list` (a picture, a folder or a list file) in sorted order, with the folder."""
    if path is None or not os.path.exists(path):
        raise UserError(f"{flag} {path}: give it a picture, a folder of pictures or a list of pictures")
    images, folder = get_image_list(path)
    return sorted(image for image in images if not image.endswith(os.sep)), folder  # a list's empty line is no picture
