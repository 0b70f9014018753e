"""Average precision of the SE branch."""

import cv2
import numpy as np
import paddle
import pytest
from paddleseg.models.backbones import ResNet18_vd
from picture_support import ENCNET, run_tool, write_config, write_dataset

from paddleseg_ext import EncNet
from paddleseg_ext.analysis.class_presence import precision_table, predict_present_classes
from paddleseg_ext.command import UserError

NAMES = ("everywhere", "ranked", "nowhere")


def test_table():
    present = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 0], [1, 0, 0]])
    scores = np.zeros((4, 3))
    scores[:, 1] = [0.9, 0.8, 0.7, 0.1]  # hit, miss, hit: precision 1 and 2/3 at the hits
    rows = [line.split() for line in precision_table(scores, present, NAMES).splitlines()]
    assert rows[1:] == [
        ["everywhere", "1.0000", "-"],
        ["ranked", "0.5000", "0.8333"],
        ["nowhere", "0.0000", "-"],
        ["mean", "0.5000", "0.8333"],
    ]


def test_nothing_to_rank():
    with pytest.raises(UserError, match="all of the 2 images or in none"):
        precision_table(np.zeros((2, 3)), np.array([[1, 1, 0]] * 2), NAMES)


class Pictures(list):
    num_classes, ignore_index = 3, 255


def pictures():
    rng = np.random.default_rng(0)
    labels = [np.array([[[0, 1], [255, 1]]], "uint8"), np.full((1, 2, 2), 2, "uint8")]
    return Pictures({"img": rng.standard_normal((3, 32, 40)).astype("float32"), "label": label} for label in labels)


def test_prediction():
    paddle.seed(0)
    model = EncNet(3, ResNet18_vd(), num_codes=4, mid_channels=16)
    model.eval()
    dataset = pictures()
    scores, present = predict_present_classes(model, dataset)
    assert present.tolist() == [[1, 1, 0], [0, 0, 1]]
    encoded = []
    model.enc_module.register_forward_post_hook(lambda layer, inputs, outputs: encoded.append(outputs[0]))
    for sample in dataset:
        model(paddle.to_tensor(sample["img"][None]))
    np.testing.assert_allclose(scores, model.se_layer(paddle.concat(encoded)).numpy(), atol=1e-5)
    assert not model.training


def test_network_without_se_branch():
    model = EncNet(3, ResNet18_vd(), num_codes=4, mid_channels=16, use_se_loss=False)
    model.eval()
    with pytest.raises(UserError, match="no output that predicts which classes"):
        predict_present_classes(model, pictures())


def test_tool(tmp_path, capsys):
    config = write_config(write_dataset(tmp_path, count=2), **ENCNET)
    cv2.imwrite(str(tmp_path / "labels/p0.png"), np.zeros((64, 96), np.uint8))
    run_tool("class_presence", config=config)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["class", "0", "1.0000", "-"] in rows  # in both images
    assert [row[:3] for row in rows if row[:1] == ["class"]][2:] == [["class", n, "0.5000"] for n in "123"]
