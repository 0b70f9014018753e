"""From a YAML to built components, with errors that name the key and the fix."""

from __future__ import annotations

import inspect
import os
from ast import literal_eval
from pathlib import Path
from urllib.parse import urlparse

import numpy as np
import paddle
import yaml
from paddleseg.cvlibs import Config, SegBuilder, manager
from paddleseg.utils import logger, utils

from paddleseg_ext.checkpoints import RUN_CONFIG, WEIGHTS, numbered_checkpoints
from paddleseg_ext.command import UserError, nearest, one_line
from paddleseg_ext.data_tools.sample_errors import checked_list, name_files_in_errors
from paddleseg_ext.datasets.description import Classes, describe
from paddleseg_ext.files import read_yaml
from paddleseg_ext.weights.paddle_file import load_paddle_file

SECTIONS = {
    *("batch_size", "iters", "model", "train_dataset", "val_dataset", "optimizer", "lr_scheduler", "loss"),
    *("distill_loss", "test_config", "to_static_training", "uniform_output_enabled", "print_mem_info"),
}
"""The keys of a YAML's top level that PaddleSeg reads."""


def find_run(config: str | None, model_path: str | None) -> tuple[str | None, str | None]:
    """The YAML file and the weights that ``--config`` and ``--model_path`` name.

    Args:
        config: a YAML file; None: `RUN_CONFIG` in the folder of the weights or the one above.
        model_path: a file of weights, a folder with one (``best_model``, ``iter_1000``), or the `save_dir` of a
            training, whose best model is taken or, where it was never evaluated, the newest.

    Raises:
        UserError: no such file or folder, or a folder without weights.
    """
    weights = model_path
    if model_path is not None and not os.path.exists(model_path):
        raise UserError(f"--model_path {model_path}: there is no such file or folder: fix the path")
    if model_path is not None and os.path.isdir(model_path):
        weights = _weights_in(model_path)
    if config is None and weights is not None:
        for folder in (Path(weights).parent, Path(weights).parent.parent):
            if (folder / RUN_CONFIG).is_file():
                return str(folder / RUN_CONFIG), weights
        raise UserError(f"--config is missing, and there is no {RUN_CONFIG} beside {weights}: give --config FILE")
    return config, weights


def _weights_in(folder: str) -> str:
    newest_first = [Path(path, WEIGHTS) for _, path in reversed(numbered_checkpoints(folder))]
    for path in (Path(folder, WEIGHTS), Path(folder, "best_model", WEIGHTS), *newest_first):
        if path.is_file():
            return str(path)
    raise UserError(
        f"--model_path {folder}: holds no {WEIGHTS}, best_model/{WEIGHTS} or iter_.../{WEIGHTS}: "
        "give the --save_dir of a training, a folder in it, or a .pdparams file"
    )


def load_config(path: str | None, **updates) -> Config:
    """PaddleSeg's `Config` of a YAML file; `updates` are its own (learning_rate, batch_size, iters, opts).

    Raises:
        UserError: no path, a file that is missing or not YAML, a `_base_` that is missing or goes in circles, or keys
            and values that PaddleSeg does not take.
    """
    if path is None:
        raise UserError(
            "--config is missing: give it a YAML file (`paddleseg-ext configs` prints where some are), or give "
            "--model_path the folder of a training"
        )
    if not os.path.isfile(path):
        raise UserError(f"--config {path}: there is no such file")
    _check_yaml(path, ())
    try:
        return ConfigWithLists(path, **updates)
    except UserError:
        raise
    except Exception as error:  # whatever PaddleSeg makes of missing keys and wrong values
        raise UserError(f"{path}: not a config that PaddleSeg takes: {one_line(error)}") from error


class ConfigWithLists(Config):
    """PaddleSeg's `Config`, whose ``--opts`` reach into lists by number: ``val_dataset.transforms.0.type=Resize``."""

    @classmethod
    def update_config_dict(cls, dic: dict, *args, opts: list[str] | None = None, **kwargs) -> dict:
        dic = super().update_config_dict(dic, *args, **kwargs)
        for option in opts or ():
            set_option(dic, option)
        _check_numbers(dic)
        return dic


def _check_numbers(dic: dict) -> None:
    """Raises `ValueError` for a number that is text: YAML takes 1e3 and 1e-3 for text, and PaddleSeg fails at it."""
    values = {key: dic.get(key) for key in ("batch_size", "iters")}
    for section in ("optimizer", "lr_scheduler"):
        settings = dic.get(section)
        values.update({f"{section}.{key}": settings[key] for key in settings} if isinstance(settings, dict) else {})
    for key, value in values.items():
        if isinstance(value, str):
            try:
                number = float(value)
            except ValueError:
                if "." in key:  # a text, such as its type
                    continue
                raise ValueError(f"{key}: {value!r} is no number: write a whole one") from None
            fix = f"{number:.0f}" if number.is_integer() else yaml.safe_dump(number).split()[0]
            raise ValueError(f"{key}: YAML takes {value!r} for text: write {fix}")


def set_option(dic: dict, option: str) -> None:
    """Apply a ``KEY=VALUE`` of ``--opts`` in place. Parts of the key are separated by dots; in a list they are numbers.

    Raises:
        UserError: not of this form, or the key leads nowhere.
    """
    key, equals, text = option.partition("=")
    if not equals or not key:
        raise UserError(f"--opts {option}: write KEY=VALUE, e.g. batch_size=2")
    *path, last = key.split(".")
    if not path and last not in SECTIONS and last not in dic:  # nobody would read it
        raise UserError(f"--opts {option}: the config has no {last!r}; {nearest(last, SECTIONS)}")
    place = dic
    for part in path:
        place = place[_key_in(place, part, option)]
    known = isinstance(place, dict)  # a new key of a section is for PaddleSeg to judge
    place[last if known else _key_in(place, last, option)] = _option_value(text)


def _key_in(place, part: str, option: str) -> str | int:
    if isinstance(place, dict):
        if part in place:
            return part
        raise UserError(f"--opts {option}: the config has no {part!r} there; {nearest(part, map(str, place))}")
    if not isinstance(place, list):
        raise UserError(f"--opts {option}: {part!r} leads into {place!r}, which is one value: shorten the key")
    if part.isdigit() and int(part) < len(place):
        return int(part)
    raise UserError(f"--opts {option}: {part!r} should be a number from 0 to {len(place) - 1}, a place in that list")


def _option_value(text: str):
    """As PaddleSeg reads it (Python's notation), or else as YAML does (true, null, [a, b]), or else the text itself."""
    try:
        value = literal_eval(text)
        return list(value) if isinstance(value, tuple) else value
    except (ValueError, SyntaxError):
        pass
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    return value if isinstance(value, (bool, list, dict)) or text in ("null", "~") else text


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
    name the file when a list, an image or a label is wrong."""

    def load_component_class(self, class_type):
        known = {}
        for components in self.comp_list:
            known.update(components.components_dict)
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
            is_backbone = component_class in manager.BACKBONES.components_dict.values()
            _check_pretrained(kwargs.get("pretrained"), "model.backbone" if is_backbone else "model")
            return super().build_component_impl(component_class, *args, **kwargs)
        with checked_list(kwargs) as kwargs:
            return name_files_in_errors(super().build_component_impl(component_class, *args, **kwargs))


def _check_pretrained(path: str | None, section: str) -> None:
    if isinstance(path, str) and not urlparse(path).netloc and not os.path.exists(path):
        raise UserError(
            f"{section}.pretrained: {path}: there is no such file: download or convert it (comments in the YAML may "
            f"say how), give another by --opts {section}.pretrained=FILE, or start from random weights by =null"
        )


def classes_of(config: Config) -> Classes:
    """The classes of a config's validation data set."""
    return describe(Builder(config).val_dataset_class, config.val_dataset_cfg)


def load_network(config: Config, model_path: str | None, device: str = "gpu") -> paddle.nn.Layer:
    """The network of a config in evaluation mode on `device`, with the weights of `model_path` if one is given.

    Without weights, of which the YAML's `model: {pretrained: ...}` is another source, a warning says so.
    """
    utils.set_device(device)
    if model_path is not None:
        drop_pretrained(config)
    network = Builder(config).model
    if model_path is not None:
        load_weights(network, model_path)
    elif not config.dic["model"].get("pretrained"):
        logger.warning(
            "--model_path is missing: the network has random weights, so what it predicts means nothing. Give it "
            "the --save_dir of a training or a .pdparams file."
        )
    network.eval()
    return network


def drop_pretrained(config: Config) -> None:
    """Build the network without its starting point, which other weights are about to replace."""
    for part in (config.dic["model"], config.dic["model"].get("backbone", {})):
        part.pop("pretrained", None)


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
