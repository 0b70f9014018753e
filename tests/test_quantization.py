"""int8 by ONNX Runtime's quantiser: what is quantised, and what it does."""

import numpy as np
import pytest
from deploy_support import FoldingCases, export_folder, pictures
from picture_support import NUM_CLASSES, write_config, write_dataset

from paddleseg_ext.builder import Builder, load_config
from paddleseg_ext.deploy.quantization import judge_precision, mean_iou, quantize
from paddleseg_ext.deploy.runtimes import Deployment

onnx = pytest.importorskip("onnx")
pytest.importorskip("paddle2onnx")


@pytest.fixture(scope="module", params=["argmax", "none"])
def quantized(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    export_folder(folder, onnx=True, output_op=request.param)
    deployment = Deployment(str(folder))
    quantize(deployment, pictures())
    return deployment


@pytest.mark.slow
def test_convolutions_are_int8_and_full_size_maps_are_not(quantized):
    graph = onnx.load(quantized.onnx_file("int8")).graph
    producers = {name: node for node in graph.node for name in node.output}
    constants = {constant.name: onnx.numpy_helper.to_array(constant) for constant in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert len(convolutions) >= 5
    for convolution in convolutions:
        assert [producers[name].op_type for name in convolution.input[:2]] == ["DequantizeLinear"] * 2
        weights = constants[producers[convolution.input[1]].input[0]]
        assert weights.dtype == np.int8 and np.abs(weights.astype(int)).max() == 64
    (resize,) = [node for node in graph.node if node.op_type == "Resize"]
    readers = [node for node in graph.node if resize.output[0] in node.input]
    assert [node.op_type for node in readers] == (["ArgMax"] if quantized.output_op == "argmax" else [])


def test_labels_stay_close(quantized):
    float32, int8 = (quantized.session("onnxruntime", precision=p) for p in ("float32", "int8"))
    for picture in pictures():
        expected, found = float32(picture), int8(picture)
        if quantized.output_op == "none":
            expected, found = expected.argmax(1), found.argmax(1)
        assert 0.91 < (expected == found).mean() <= 1  # 0.930 at least is measured


@pytest.mark.parametrize("quantized", ["none"], indirect=True)
def test_judgement(quantized, tmp_path):
    data = write_dataset(tmp_path / "data")
    dataset = Builder(load_config(str(write_config(data, type=FoldingCases.__name__)))).val_dataset
    judged = judge_precision(quantized, "int8", pictures(), dataset)
    assert 0 < judged["relative_difference"] < 0.1 and 0.92 < judged["label_agreement"] <= 1  # measured: 0.052, 0.938
    assert judged["sizes"] == ["32x48", "31x45", "64x64"]
    assert abs(judged["miou_before"] - judged["miou_after"]) < 0.01
    assert "miou_after" not in judge_precision(quantized, "bfloat16", pictures(), None)


def test_mean_iou_of_a_perfect_session(tmp_path):
    data = write_dataset(tmp_path / "data")
    dataset = Builder(load_config(str(write_config(data, type=FoldingCases.__name__)))).val_dataset
    labels = iter([sample["label"] for sample in (dataset[index] for index in range(len(dataset)))])

    def session(pictures):
        return (
            np.eye(NUM_CLASSES, dtype=np.float32)[next(labels)]
            .reshape(*pictures.shape[2:], -1)
            .transpose(2, 0, 1)[None]
        )

    assert mean_iou(session, dataset) == pytest.approx(1)
