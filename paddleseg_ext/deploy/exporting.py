"""From a network to an inference folder: PaddleSeg's files, an ONNX file, and the proof that they compute the same.

Shapes are (N, C, H, W); -1 stands for a side that may vary.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import paddle
import yaml
from paddleseg.cvlibs import Config
from paddleseg.deploy.export import WrappedModel
from paddleseg.transforms import Compose
from paddleseg.utils import logger

from paddleseg_ext.builder import Builder
from paddleseg_ext.command import UserError, one_line
from paddleseg_ext.data_tools.sample_errors import TransformsWithFileNames
from paddleseg_ext.datasets.lists import list_images
from paddleseg_ext.deploy.comparison import Comparison, compare
from paddleseg_ext.deploy.folding import fold_batch_norms
from paddleseg_ext.deploy.quantization import judge_precision, quantize
from paddleseg_ext.deploy.runtimes import DESCRIPTION, ONNX_FILES, PARAMS_MARK, Deployment, EagerSession, file_digest
from paddleseg_ext.files import read_yaml, write_whole
from paddleseg_ext.segmenter import input_channels

CHECKED_SIZES = ((256, 512), (200, 333), (384, 320))  # for a network of free size, where no images are given
OPSET = 16  # the newest that paddle2onnx 1.3 (for Paddle 2.6) writes


def export(
    network: paddle.nn.Layer,
    save_dir: str,
    transforms: list,
    pictures: Sequence[np.ndarray],
    input_shape: list | None = None,
    output_op: str = "argmax",
    fold: bool = False,
    onnx: bool = False,
    precisions: Sequence[str] = (),
    calibration: Iterable[np.ndarray] = (),
    dataset: paddle.io.Dataset | None = None,
) -> dict:
    """Write ``model.json`` (before Paddle 3: ``model.pdmodel``), ``model.pdiparams``, ``deploy.yaml``, with `onnx`
    ``model.onnx``, with the precision "int8" ``model_int8.onnx``, and ``comparison.json``, after each was run and, in
    float32, found to compute what the network computes.

    Args:
        network: is changed in place by `fold`.
        transforms: the validation transforms as the YAML has them, for ``deploy.yaml``.
        pictures: network inputs (N, C, H, W) to check with.
        fold: fold batch norms into convolutions.
        precisions: reduced ones to judge: "int8" (needs `onnx`), "bfloat16".
        calibration: network inputs for int8.
        dataset: labelled images to measure what reduced precisions do to the mIoU.

    Returns:
        What ``comparison.json`` holds.

    Raises:
        UserError: a float32 file computes something else than the network; nothing is written then.
    """
    report: dict[str, Any] = {}
    comparisons = []
    shape = input_shape or [-1, pictures[0].shape[1], -1, -1]
    # labels are judged by the scores behind them
    eager = EagerSession(with_output_op(network, "none" if output_op == "argmax" else output_op))
    pictures, expected = outputs_of(eager, pictures, keep_to_shape=input_shape is not None)
    if fold:
        folding, comparison = fold_and_compare(network, pictures)
        logger.info(str(folding))
        report["folding"] = {"folded": len(folding.folded), "kept": folding.kept}
        comparisons.append(comparison)

    os.makedirs(save_dir, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=save_dir) as folder:
        whole = os.path.join(folder, "whole")  # files appear whole or not at all
        exported = write_folder(network, whole, transforms, shape, output_op, onnx)
        for backend in ("inference", "onnxruntime") if onnx else ("inference",):
            comparisons.append(compare_backend(exported, backend, expected, pictures))
        require_passed(comparisons)
        report["comparisons"] = [{**asdict(one), "passed": one.passed} for one in comparisons]
        if precisions:
            logits = exported
            if output_op != "none":
                logits = write_folder(network, os.path.join(folder, "logits"), transforms, shape, "none", onnx)
            if "int8" in precisions:
                calibration = list(calibration)
                for one in {exported, logits}:
                    quantize(one, calibration)
                exported.session("onnxruntime", precision="int8")(pictures[0])
            report["precisions"] = [judge_precision(logits, one, pictures, dataset) for one in precisions]
        publish(whole, save_dir, report)
    return report


def outputs_of(
    session: EagerSession, pictures: Sequence[np.ndarray], keep_to_shape: bool
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The images whose sizes the network takes, and its outputs for them.

    Raises:
        UserError: none of them, or not the one of a fixed shape (`keep_to_shape`).
    """
    taken, outputs, refused = [], [], {}
    for picture in pictures:
        try:
            outputs.append(session(picture))
            taken.append(picture)
        except UserError as error:
            if keep_to_shape:
                raise
            refused["x".join(map(str, picture.shape[2:]))] = error
    if not taken:
        (first, *_), channels = refused.values(), pictures[0].shape[1]
        raise UserError(
            f"the network takes an input of none of the sizes {', '.join(refused)} ({one_line(first)}): name one that "
            f"it takes by --input_shape 1 {channels} HEIGHT WIDTH"
        )
    if refused:
        logger.warning(
            f"the network takes no input of height x width {', '.join(refused)}, so that was not checked: images of "
            "such sizes need a Resize or Padding in val_dataset.transforms"
        )
    return taken, outputs


def _static_hint(shape: list) -> str:
    if -1 not in shape:
        return ""
    return f"; the network may fix its sizes when it is exported: try --input_shape 1 {shape[1]} HEIGHT WIDTH"


def fold_and_compare(network: paddle.nn.Layer, pictures: Sequence[np.ndarray]):
    """Fold the batch norms in place; returns the `Folding` and the comparison on the logits before and after."""
    session = EagerSession(network)
    before = [session(picture) for picture in pictures]
    folding = fold_batch_norms(network, paddle.to_tensor(pictures[0]))
    return folding, compare("folded against unfolded", before, session, pictures)


def compare_backend(
    exported: Deployment, backend: str, expected: Iterable[np.ndarray], pictures: Sequence[np.ndarray]
) -> Comparison:
    """What a backend computes of the exported folder against the network's own outputs `expected`.

    Raises:
        UserError: it cannot run the network, or not on all of the images.
    """
    session = exported.session(backend)
    try:
        return compare(f"{backend} against eager", expected, session, pictures)
    except Exception as error:
        raise UserError(f"nothing is written: {one_line(error)}{_static_hint(exported.input_shape)}") from error


def require_passed(comparisons: Sequence[Comparison]) -> None:
    """Log the comparisons; raises `UserError` if one of them shows a difference."""
    for comparison in comparisons:
        logger.info(str(comparison))
    failed = [comparison for comparison in comparisons if not comparison.passed]
    if failed:
        raise UserError(f"nothing is written, since the networks differ: {'; '.join(map(str, failed))}")


def with_output_op(network: paddle.nn.Layer, output_op: str) -> paddle.nn.Layer:
    """`network` within another one, so that a trace may replace the `forward` of that and not its own."""
    return paddle.nn.Sequential(network) if output_op == "none" else WrappedModel(network, output_op)


def write_folder(network, folder: str, transforms: list, shape: list, output_op: str, onnx: bool) -> Deployment:
    """PaddleSeg's three files, and ``model.onnx``; ``deploy.yaml`` names the model file that this Paddle writes.

    Raises:
        UserError: the network cannot be exported, or not as ONNX.
    """
    wrapped = with_output_op(network, output_op)
    wrapped.eval()
    static = paddle.jit.to_static(
        wrapped, input_spec=[paddle.static.InputSpec(list(shape), "float32")], full_graph=True
    )
    try:
        paddle.jit.save(static, os.path.join(folder, "model"))
    except Exception as error:  # whatever the network does that a static graph cannot
        raise UserError(f"the network cannot be exported: {one_line(error)}{_static_hint(shape)}") from error
    deploy = {
        "model": "model.json" if os.path.exists(os.path.join(folder, "model.json")) else "model.pdmodel",
        "params": "model.pdiparams",
        "transforms": transforms,
        "input_shape": shape,
        "output_op": output_op,
        "output_dtype": "int32" if output_op == "argmax" else "float32",
    }
    write_whole(os.path.join(folder, DESCRIPTION), yaml.safe_dump({"Deploy": deploy}))
    deployment = Deployment(folder)
    if onnx:
        write_onnx(deployment)
    return deployment


def publish(folder: str, save_dir: str, report: dict) -> None:
    """Add to an exported folder the digests, with which `Deployment` compares its files, and ``comparison.json``, and
    move all to `save_dir`; what an earlier export left there that this one did not write is no longer valid."""
    path = os.path.join(folder, DESCRIPTION)
    description = read_yaml(path)
    others = sorted(name for name in os.listdir(folder) if name != DESCRIPTION)
    description["Deploy"]["sha256"] = {name: file_digest(os.path.join(folder, name)) for name in others}
    write_whole(path, yaml.safe_dump(description))
    write_whole(os.path.join(folder, "comparison.json"), json.dumps(report, indent=2))
    for name in ONNX_FILES.values():
        Path(save_dir, name).unlink(missing_ok=True)
    for name in os.listdir(folder):
        os.replace(os.path.join(folder, name), os.path.join(save_dir, name))


def write_onnx(deployment: Deployment) -> None:
    """Convert an exported folder's network with paddle2onnx into its ``model.onnx``.

    Raises:
        UserError: paddle2onnx is not installed or cannot convert it.
    """
    if importlib.util.find_spec("paddle2onnx") is None:
        wanted = "paddle2onnx" if paddle.__version__.startswith("3") else "'paddle2onnx<2'"
        raise UserError(f"--onnx needs paddle2onnx: pip install {wanted} onnx onnxruntime")
    path = os.path.join(deployment.folder, ONNX_FILES["float32"])
    # in a process of its own: what it cannot convert makes paddle2onnx abort
    program = "import sys, zlib, paddle2onnx; paddle2onnx.export(*sys.argv[1:4], opset_version=int(sys.argv[4]))"
    files = [os.path.abspath(file) for file in (deployment.model, deployment.params, path)]
    with tempfile.TemporaryDirectory() as litter:  # it leaves files where it runs
        child = subprocess.run(
            [sys.executable, "-c", program, *files, str(OPSET)], capture_output=True, text=True, cwd=litter
        )
    if child.returncode != 0 or not os.path.isfile(path):
        lines = [line for line in (child.stdout + child.stderr).splitlines() if line.strip()]
        reasons = [line for line in lines if line.startswith("[ERROR]")] or lines[-1:]
        raise UserError(f"paddle2onnx cannot convert this network: {reasons[0] if reasons else child.returncode}")

    import onnx

    model = onnx.load(path)
    put_argmax_on_channels_last(model)
    onnx.helper.set_model_props(model, {PARAMS_MARK: file_digest(deployment.params)})
    onnx.checker.check_model(model)
    onnx.save(model, path)


def put_argmax_on_channels_last(model) -> None:
    """Rewrite "resize logits (N, K, H, W), then argmax over K" to work on (N, H, W, K).

    ONNX Runtime takes less than half the time for the two where the K scores of a pixel lie side by side (19 classes
    at 1024×2048: 39 against 80 ms on one core). The numbers are the same.
    """
    from onnx import helper, numpy_helper

    graph = model.graph
    consumers = [name for node in graph.node for name in node.input] + [output.name for output in graph.output]
    for argmax in [node for node in graph.node if node.op_type == "ArgMax"]:
        resize = next((node for node in graph.node if argmax.input[0] in node.output), None)
        attributes = {a.name: helper.get_attribute_value(a) for a in argmax.attribute}
        axis_is_channels = attributes.get("axis") == 1 and attributes.get("keepdims", 1) == 0
        if resize is None or resize.op_type != "Resize" or not axis_is_channels:
            continue
        if consumers.count(resize.output[0]) > 1 or any(a.name == "axes" for a in resize.attribute):
            continue
        order = numpy_helper.from_array(np.array([0, 2, 3, 1]), f"{resize.name}_order")
        graph.initializer.append(order)
        name, last = resize.name, len(resize.input) - 1  # scales, or sizes if those are given
        transpose = helper.make_node(
            "Transpose", [resize.input[0]], [f"{name}_nhwc"], f"{name}_to_nhwc", perm=[0, 2, 3, 1]
        )
        reorder = helper.make_node(
            "Gather", [resize.input[last], order.name], [f"{name}_sizes_nhwc"], f"{name}_reorder"
        )
        resize.input[0], resize.input[last] = transpose.output[0], reorder.output[0]
        next(a for a in argmax.attribute if a.name == "axis").i = 3
        position = list(graph.node).index(resize)
        for node in (reorder, transpose):
            graph.node.insert(position, node)
        for info in [info for info in graph.value_info if info.name == resize.output[0]]:
            graph.value_info.remove(info)


def checking_inputs(config: Config, image_path: str | None, shape: list | None) -> list[np.ndarray]:
    """Network inputs (N, C, H, W): three of the images at `image_path`, or seeded noise.

    A fixed `shape` is kept to, for which one of noise is enough; otherwise there are three, each of another size.
    """
    if image_path is None:
        random = np.random.default_rng(0)
        shapes = [(1, input_channels(config), *size) for size in CHECKED_SIZES] if shape is None else [shape]
        return [random.standard_normal(one).astype(np.float32) for one in shapes]
    paths = itertools.cycle(list_images(image_path)[0])
    transforms = validation_transforms(config)
    return [network_input(path, transforms, shape, scale) for path, scale in zip(paths, (1, 0.75, 0.5))]


def calibration_inputs(config: Config, image_path: str, shape: list | None, count: int) -> list[np.ndarray]:
    """Network inputs of up to `count` images, spread evenly over those at `image_path`."""
    paths, _ = list_images(image_path)
    transforms = validation_transforms(config)
    count = min(count, len(paths))
    return [network_input(paths[index * len(paths) // count], transforms, shape) for index in range(count)]


def validation_transforms(config: Config) -> Callable:
    return TransformsWithFileNames(Compose(Builder(config).val_transforms, img_channels=input_channels(config)))


def network_input(path: str, transforms: Callable, shape: list | None = None, scale: float = 1) -> np.ndarray:
    """An image (N, C, H, W) as the network takes it: of a fixed shape, or scaled."""
    planes = transforms({"img": path})["img"]
    height, width = shape[2:] if shape else (round(side * scale) for side in planes.shape[1:])
    picture = np.stack([cv2.resize(plane, (width, height)) for plane in planes])[None]
    return picture.repeat(shape[0], 0) if shape else picture
