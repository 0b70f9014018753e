"""Reduced precision: int8 by ONNX Runtime's static quantisation, and what any reduced precision does to the result."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict

import numpy as np
import paddle
from paddleseg.core import evaluate
from paddleseg.utils import logger

from paddleseg_ext.deploy.comparison import compare
from paddleseg_ext.deploy.runtimes import PARAMS_MARK, Deployment, file_digest


def quantize(deployment: Deployment, pictures: Iterable[np.ndarray]) -> None:
    """Write ``model_int8.onnx`` from an exported folder's ``model.onnx``.

    Activations are uint8 with their minimum and maximum over `pictures` as range, weights int8 with a scale for each
    output channel: what x86 processors multiply fastest. Weights use 7 of their 8 bits, so that no sum overflows.

    Args:
        pictures: network inputs (N, C, H, W) to calibrate with.
    """
    import onnx
    import onnxruntime
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Pictures(CalibrationDataReader):
        def __init__(self, input_name):
            self.feeds = ({input_name: picture} for picture in pictures)

        def get_next(self):
            return next(self.feeds, None)

    target = os.path.join(deployment.folder, "model_int8.onnx")
    with tempfile.TemporaryDirectory(dir=deployment.folder) as folder:
        plain = os.path.join(folder, "plain.onnx")
        options = onnxruntime.SessionOptions()
        # folds constants, biases and what is left of batch norms, so that none of them is quantised on its own
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = plain
        options.log_severity_level = 3
        onnxruntime.InferenceSession(deployment.onnx_file(), options, providers=["CPUExecutionProvider"])
        model = onnx.load(plain)
        logging.disable(logging.WARNING)  # one for each bias, and the advice to do what was done above
        try:
            quantize_static(
                plain,
                target,
                Pictures(model.graph.input[0].name),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                reduce_range=True,  # without VNNI, products of 8-bit weights overflow in AVX2's 16-bit sums
                nodes_to_exclude=_full_size_nodes(model),
            )
        finally:
            logging.disable(logging.NOTSET)
    model = onnx.load(target)
    onnx.helper.set_model_props(model, {PARAMS_MARK: file_digest(deployment.params)})
    onnx.save(model, target)


def _full_size_nodes(model) -> list[str]:
    """Names of the last Resize before the output and of what comes after it.

    They work on maps as large as the image: to quantise them costs more than it saves.
    """
    producers = {name: node for node in model.graph.node for name in node.output}
    names, value = [], model.graph.output[0].name
    while value in producers:
        node = producers[value]
        names.append(node.name)
        value = node.input[0]
        if node.op_type == "Resize":
            before = producers.get(value)
            return names + [before.name] if before is not None and before.op_type == "Transpose" else names
    return []


def judge_precision(
    logits: Deployment, precision: str, pictures: Sequence[np.ndarray], dataset: paddle.io.Dataset | None
) -> dict:
    """What a precision changes: logit difference, label agreement, and with a labelled `dataset` the mIoU.

    Args:
        logits: a folder exported with ``output_op`` "none" (for int8 with its ``model_int8.onnx``).
    """
    backend = "onnxruntime" if precision == "int8" else "inference"
    before = logits.session(backend)
    after = logits.session(backend, precision=precision)
    comparison = compare(
        f"{backend}, {precision} against float32", (before(picture) for picture in pictures), after, pictures
    )
    logger.info(str(comparison))
    report = asdict(comparison)
    if dataset is not None:
        report["miou_before"], report["miou_after"] = (mean_iou(session, dataset) for session in (before, after))
        logger.info(
            f"{backend}, {precision}: mIoU {report['miou_before']:.4f} before, {report['miou_after']:.4f} after"
        )
    return report


def mean_iou(session, dataset: paddle.io.Dataset) -> float:
    """mIoU of a session that returns logits, by PaddleSeg's own evaluation."""
    return float(evaluate(_SessionNetwork(session), dataset, num_workers=0, print_detail=False)[0])


class _SessionNetwork(paddle.nn.Layer):
    """A session in the shape of a network."""

    def __init__(self, session):
        super().__init__()
        self.session = session

    def forward(self, x):
        return [paddle.to_tensor(self.session(x.numpy()))]
