"""tools/export.py: PaddleSeg's files, ONNX, the comparison, and refusals."""

import json
from pathlib import Path

import cv2
import numpy as np
import paddle
import pytest
import yaml
from deploy_support import CLASSES, FoldingCases, export_folder, network, pictures
from paddleseg.deploy.infer import DeployConfig
from picture_support import run_tool, write_config, write_dataset

from paddleseg_ext.builder import load_config
from paddleseg_ext.command import UserError
from paddleseg_ext.deploy import exporting
from paddleseg_ext.deploy.comparison import compare
from paddleseg_ext.deploy.runtimes import Deployment, EagerSession

MODEL_FILE = "model.json" if paddle.__version__.startswith("3") else "model.pdmodel"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def config(data):
    return write_config(data, type="FoldingCases")


def test_files_and_description(config, tmp_path):
    for name in ("model.onnx", "model_int8.onnx", "notes.txt"):
        (tmp_path / name).write_text("there before")
    run_tool("export", config=config, save_dir=tmp_path)
    written = {path.name for path in tmp_path.iterdir()}
    assert {MODEL_FILE, "model.pdiparams", "deploy.yaml", "comparison.json", "notes.txt"} <= written
    assert not {"model.onnx", "model_int8.onnx"} & written  # of an earlier export
    description = yaml.safe_load((tmp_path / "deploy.yaml").read_text())["Deploy"]
    assert {MODEL_FILE, "model.pdiparams"} <= set(description.pop("sha256"))
    assert description == {
        "model": MODEL_FILE,
        "params": "model.pdiparams",
        "transforms": [{"type": "Normalize"}],
        "input_shape": [-1, 3, -1, -1],
        "output_op": "argmax",
        "output_dtype": "int32",
    }
    deploy = DeployConfig(str(tmp_path / "deploy.yaml"))  # PaddleSeg's own
    assert Path(deploy.model).is_file() and Path(deploy.params).is_file()


@pytest.mark.slow
def test_everything_at_once(config, data, tmp_path):
    pytest.importorskip("paddle2onnx")
    weights = tmp_path / "weights.pdparams"
    trained = network()
    paddle.save(trained.state_dict(), str(weights))
    run_tool(
        "export",
        config=config,
        model_path=weights,
        save_dir=tmp_path / "out",
        fold_bn=True,
        onnx=True,
        precision=["int8", "bfloat16"],
        image_path=data / "images",
    )
    report = json.loads((tmp_path / "out/comparison.json").read_text())
    assert report["folding"]["folded"] == 3 and len(report["folding"]["kept"]) == 4
    assert [comparison["passed"] for comparison in report["comparisons"]] == [True] * 3
    assert [len(set(comparison["sizes"])) for comparison in report["comparisons"]] == [3] * 3
    assert report["precisions"][0]["relative_difference"] > 0  # bfloat16 is float32 on some processors
    for judged in report["precisions"]:
        assert judged["relative_difference"] < 0.06 and judged["label_agreement"] > 0.97
        assert abs(judged["miou_before"] - judged["miou_after"]) < 0.005
    exported = Deployment(str(tmp_path / "out"))
    for picture in pictures():
        expected = EagerSession(trained)(picture).argmax(1)
        for backend in ("inference", "onnxruntime"):
            assert (exported.session(backend)(picture) == expected).mean() >= 0.9999


@pytest.mark.slow
@pytest.mark.parametrize("output_op", ["softmax", "none"])
def test_output_op_and_fixed_shape(output_op, tmp_path):
    pytest.importorskip("paddle2onnx")
    report = export_folder(tmp_path, output_op=output_op, onnx=True, input_shape=[2, 3, 32, 48])
    assert all(comparison["relative_difference"] < 1e-5 for comparison in report["comparisons"])
    (picture,) = pictures((32, 48))
    scores = Deployment(str(tmp_path)).session("onnxruntime")(picture.repeat(2, 0))
    assert scores.shape == (2, CLASSES, 32, 48)
    assert output_op == "none" or np.allclose(scores.sum(1), 1, atol=1e-5)


def test_argmax_on_channels_last(tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("paddle2onnx")
    export_folder(tmp_path, onnx=True)
    (argmax,) = [node for node in onnx.load(tmp_path / "model.onnx").graph.node if node.op_type == "ArgMax"]
    assert [a.i for a in argmax.attribute if a.name == "axis"] == [3]


def test_different_result_is_not_written(tmp_path, monkeypatch):
    real = exporting.Deployment.session
    monkeypatch.setattr(exporting.Deployment, "session", lambda self, backend: lambda x: 1 - real(self, backend)(x))
    with pytest.raises(UserError, match="nothing is written.*inference against eager: labels"):
        export_folder(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_inconvertible_network_is_one_line(tmp_path, monkeypatch):
    pytest.importorskip("paddle2onnx")

    def forward(self, x):
        return [paddle.nn.functional.adaptive_avg_pool2d(self.conv_first(x), 3)]

    monkeypatch.setattr(FoldingCases, "forward", forward)
    with pytest.raises(
        UserError,
        match="paddle2onnx cannot convert this network: .*[Aa]daptive|model.onnx: ONNX Runtime cannot load it",
    ):
        export_folder(tmp_path, onnx=True, output_op="none")
    assert list(tmp_path.iterdir()) == []


# At the top level, since Paddle 2.6 exports no function that uses another one's local names
FORWARD = FoldingCases.forward


def forward_of_even_widths(self, picture):
    if paddle.in_dynamic_mode():
        require_even(picture)
    return FORWARD(self, picture)


def require_even(picture):
    if picture.shape[3] % 2:
        raise ValueError("the width has to be even")


def forward_of_numbers(self, picture):
    if not paddle.in_dynamic_mode():
        need_numbers()
    return FORWARD(self, picture)


def need_numbers():
    raise TypeError("a size is no number")


def test_sizes_that_the_network_does_not_take_are_not_checked(tmp_path, monkeypatch):
    monkeypatch.setattr(FoldingCases, "forward", forward_of_even_widths)
    report = export_folder(tmp_path)
    assert report["comparisons"][0]["sizes"] == ["32x48", "64x64"]  # of 31x45 too
    with pytest.raises(UserError, match="none of the sizes 7x9.*the width has to be even.*--input_shape 1 3 HEIGHT"):
        exporting.export(network(), str(tmp_path / "out"), [], pictures((7, 9)))
    assert not (tmp_path / "out").exists()


def test_a_static_network_is_one_line_with_the_fix(tmp_path, monkeypatch):
    monkeypatch.setattr(FoldingCases, "forward", forward_of_numbers)
    with pytest.raises(
        UserError, match="the network cannot be exported: .*a size is no number.*--input_shape 1 3 HEIGHT WIDTH"
    ):
        export_folder(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "flags, message",
    [
        ({"config": "no.yml"}, "--config no.yml: there is no such file"),
        ({"model_path": "no.pdparams"}, "no.pdparams: there is no such file"),
        ({"input_shape": [1, 3, 64]}, "--input_shape .* give four numbers"),
        ({"precision": "int8"}, "--precision int8 needs --onnx"),
        ({"num_calibration": 0}, "--num_calibration 0: give the number of images"),
        ({"image_path": "nowhere"}, "--image_path nowhere"),
    ],
)
def test_wrong_flags(config, tmp_path, flags, message):
    with pytest.raises(UserError, match=message):
        run_tool("export", **{"config": config, "save_dir": tmp_path / "out", **flags})
    assert not (tmp_path / "out").exists()


def test_a_precision_that_cannot_be_judged_is_no_choice(config, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run_tool("export", config=config, precision="float16", save_dir=tmp_path / "out")
    assert "invalid choice: 'float16'" in capsys.readouterr().err


@pytest.mark.parametrize("count, expected", [(4, [0, 1, 3, 5]), (1, [0]), (9, [0, 1, 2, 3, 4, 5, 6])])
def test_calibration_images_are_spread_evenly(config, tmp_path, count, expected):
    for index in range(7):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.full((4, 6, 3), 30 * index, np.uint8))
    inputs = exporting.calibration_inputs(load_config(str(config)), str(tmp_path), None, count)
    np.testing.assert_allclose([x.mean() for x in inputs], [30 * index / 127.5 - 1 for index in expected], atol=1e-6)


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda weights: weights.pop("conv_out.bias"), "no weights for conv_out.bias"),
        (
            lambda weights: weights.update({"conv_out.bias": paddle.zeros([7])}),
            r"conv_out.bias is \[7\] float32, .* needs \[4\] float32",
        ),
    ],
)
def test_weights_that_do_not_fit(config, tmp_path, spoil, message):
    weights = network().state_dict()
    spoil(weights)
    path = str(tmp_path / "weights.pdparams")
    paddle.save(weights, path)
    with pytest.raises(UserError, match=message):
        run_tool("export", config=config, model_path=path, save_dir=tmp_path / "out")


def test_not_weights(config, tmp_path):
    path = tmp_path / "weights.pdparams"
    path.write_text("no weights")
    with pytest.raises(UserError, match="weights.pdparams: not a whole file of paddle.save"):
        run_tool("export", config=config, model_path=path, save_dir=tmp_path / "out")


def test_a_config_without_the_transforms_that_deploy_yaml_repeats(config, tmp_path):
    settings = yaml.safe_load(config.read_text())
    del settings["val_dataset"]
    path = tmp_path / "config.yml"
    path.write_text(yaml.safe_dump(settings))
    with pytest.raises(UserError, match="config.yml: it has no val_dataset with transforms"):
        run_tool("export", config=path, save_dir=tmp_path / "out")


def test_verdict():
    scores = np.zeros((1, 2, 1, 4), np.float32)
    scores[0, 1] = [[1, 1, -1, -1]]
    worse = scores.copy()
    worse[0, 1, 0, 3] = 0.5
    comparison = compare("a against b", [scores], lambda picture: worse, [np.zeros((1, 3, 1, 4))])
    assert (comparison.max_difference, comparison.relative_difference, comparison.label_agreement) == (1.5, 1.5, 0.75)
    assert comparison.sizes == ["1x4"] and not comparison.passed
    same = compare("a against a", [scores], lambda picture: scores, [np.zeros((1, 3, 1, 4))])
    assert same.passed and same.label_agreement == 1
    nothing = compare("0 against 0", [0 * scores], lambda picture: 0 * scores, [np.zeros((1, 3, 1, 4))])
    assert nothing.passed and nothing.relative_difference == 0
    tied = scores * [[[[1, 1, 1e-5, 1]]]]  # the third pixel hardly prefers its label
    labels = scores.argmax(1)
    labels[0, 0, 2] = 1
    tie = compare("labels against a", [tied], lambda picture: labels, [np.zeros((1, 3, 1, 4))])
    assert tie.passed and (tie.label_agreement, tie.ties, tie.max_difference) == (0.75, 0.25, None)
    labels[0, 0, 3] = 1
    assert not compare("labels against a", [tied], lambda picture: labels, [np.zeros((1, 3, 1, 4))]).passed
    worse[:] = np.nan
    assert not compare("a against NaN", [scores], lambda picture: worse, [np.zeros((1, 3, 1, 4))]).passed
    with pytest.raises(ValueError, match="shape"):
        compare("a against b", [scores], lambda picture: scores[:, :1], [np.zeros((1, 3, 1, 4))])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SANet", "EncNet"])
def test_networks_of_this_package(name, tmp_path):
    pytest.importorskip("paddle2onnx")
    from paddleseg.models import ResNet18_vd

    from paddleseg_ext import EncNet, SANet, SANetEncoder

    paddle.seed(0)
    model = SANet(4, SANetEncoder(base_channels=8)) if name == "SANet" else EncNet(4, ResNet18_vd(), mid_channels=16)
    report = exporting.export(model, str(tmp_path), [], pictures((64, 96), (100, 75), (128, 64)), fold=True, onnx=True)
    assert [comparison["passed"] for comparison in report["comparisons"]] == [True] * 3
