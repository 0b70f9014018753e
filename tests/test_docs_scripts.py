"""The scripts in docs that measure what the pages show."""

import json
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import paddle
import pytest
import yaml

from paddleseg_ext import SANet
from paddleseg_ext.benchmarks.measuring import in_fresh_process
from paddleseg_ext.builder import Builder, load_config
from paddleseg_ext.street.dataset import make_street_dataset

sys.path.insert(0, str(Path(__file__).parents[1] / "docs" / "scripts"))
import compare_encnet
import measure_demo
import measure_gradients
import measure_own_data
import measure_rare_class
import measure_run
import measure_speed
import measure_weights
import shared


@pytest.mark.slow
def test_encnet_trains_as_paddlesegs_does(tmp_path):
    """In processes of their own, where PaddleSeg's encoding is PaddleSeg's."""
    weights = str(tmp_path / "start.pdparams")
    runs = [
        in_fresh_process(1, compare_encnet.train, name, weights, "float64", [64, 48], 2, 20)
        for name in (compare_encnet.STOCK, compare_encnet.OURS)
    ]
    losses = np.array([run["losses"] for run in runs])
    assert np.ptp(losses, axis=1).min() > 0.5  # they learn
    np.testing.assert_allclose(*losses, rtol=0, atol=1e-6)


@pytest.fixture
def twin():
    """SANet-S and its twin in PyTorch with its weights, and statistics of batch norms that are not 0 and 1."""
    pytest.importorskip("torch")
    import torch_sanet

    paddle.seed(0)
    network = SANet(11, outputs=["main", "aux", "boundary"])
    for name, value in network.state_dict().items():
        if name.endswith("_variance"):
            value.set_value(paddle.rand(value.shape) + 0.5)
        elif name.endswith("_mean"):
            value.set_value(0.1 * paddle.randn(value.shape))
    other = torch_sanet.SANetS(11)
    torch_sanet.load(other, {name: value.numpy() for name, value in network.state_dict().items()})
    return network, other


@pytest.mark.parametrize("training", [False, True])
def test_the_network_in_pytorch_is_the_same(twin, training):
    import torch
    from torch_sanet import resize_to

    network, other = twin
    picture = np.random.default_rng(0).standard_normal((2, 3, 192, 256)).astype(np.float32)
    network.train() if training else network.eval()
    expected = [logits.numpy() for logits in network(paddle.to_tensor(picture))]
    picture = torch.from_numpy(picture)
    with torch.no_grad():
        found = other.train(training)(picture)
        found = found if training else [resize_to(found, picture, align_corners=True)]
    tolerance = 1e-3 if training else 1e-4  # batch norms over few values enlarge rounding
    for a, b in zip(expected, found, strict=True):
        assert np.abs(a - b.numpy()).max() < tolerance * np.abs(a).max()


@pytest.mark.parametrize("aux", ["AllPixelCrossEntropyLoss", "CrossEntropyLoss"])
def test_two_steps_in_pytorch_are_the_same(aux):
    """In float64; in float32 trainings part after a few steps, whatever rounds differently."""
    pytest.importorskip("torch")
    import torch
    import train_in_pytorch

    options = ["iters=3", "model.num_classes=11", "model.align_corners=False", f"loss.types.1.type={aux}"]
    config = load_config(str(shared.ROOT / train_in_pytorch.CONFIG), opts=options)
    for loss in (config.dic["loss"]["types"][0], config.dic["loss"]["types"][3]):
        loss["min_kept"] = 500
    paddle.seed(0)
    builder = Builder(config)
    network = builder.model
    network.to(dtype="float64")
    network.train()
    optimizer = builder.optimizer
    training = train_in_pytorch.Training(network, config)
    training.network.double()
    random = np.random.default_rng(0)
    for loss_tolerance, weight_tolerance in ((1e-6, 1e-6), (1e-4, 1e-2)):
        image = random.standard_normal((4, 3, 128, 192))
        label = random.integers(0, 11, (4, 128, 192))
        label[:, :20] = 255
        edge = random.choice([0, 1, 255], label.shape, p=[0.8, 0.1, 0.1])
        data = {"label": paddle.to_tensor(label), "edge": paddle.to_tensor(edge)}
        loss = sum(network.loss_computation(network(paddle.to_tensor(image)), builder.loss, data))
        loss.backward()
        optimizer.step()
        optimizer._learning_rate.step()
        network.clear_gradients()
        found = training(*map(torch.from_numpy, (image, label, edge)))
        assert found == pytest.approx(float(loss), rel=loss_tolerance)
        found = train_in_pytorch.state_for_paddle(training.network)
        for name, value in network.named_parameters():
            if name.endswith((".weight", ".bias")):
                difference = np.linalg.norm(found[name] - value.numpy())
                assert difference < weight_tolerance * np.linalg.norm(value.numpy()) + 1e-9, name


def test_a_step_is_measured_in_both_frameworks():
    pytest.importorskip("torch")
    for step in (measure_speed.paddle_step, measure_speed.torch_step):
        cost = step([2, 64, 64], 1, 1)
        assert cost["median"] > 0 and cost["runs"] == 1


def test_summary_of_the_speeds():
    medians = {"inference": 3.0, "onnxruntime": 2.0, "onnxruntime:int8": 0.5}
    figures = [{"network": "SANet-S", "backend": backend, "median": median} for backend, median in medians.items()]
    figures.append({"network": "SANet-S in PyTorch", "backend": "torch, labels", "median": 5.0})
    expected = {"sanet_s_ms": 2000, "int8_times_as_fast": 4, "times_as_fast_as_pytorch": 2.5}
    assert measure_speed.summary({"inference": figures}) == expected


def test_figures_of_a_demo_are_those_of_its_folder(tmp_path):
    start = {"command": "python tools/train.py --config a.yml --seed 3 --do_eval", "iterations": 300}
    (tmp_path / "run.yml").write_text(yaml.safe_dump([{**start, "iterations": 1}, start]))
    for iteration, score in ((200, 0.4), (300, 0.5711)):
        (tmp_path / f"iter_{iteration}").mkdir()
        (tmp_path / f"iter_{iteration}" / "scores.json").write_text(json.dumps({"model": [score, iteration]}))
    found = measure_demo.of_run(tmp_path)
    assert (found["seed"], found["iterations"], found["val_mIoU"]) == (3, 300, 57.11)


def test_verdicts_of_an_export():
    one = {"max_difference": None, "relative_difference": None, "label_agreement": 1.0, "ties": 0.0, "passed": True}
    report = {
        "folding": {"folded": 52, "kept": []},
        "comparisons": [
            {**one, "what": "folded against unfolded", "relative_difference": 5e-7},
            {**one, "what": "inference against eager"},
            {**one, "what": "onnxruntime against eager", "label_agreement": 0.9999},
        ],
        "precisions": [{**one, "what": "int8", "label_agreement": 0.97, "miou_before": 0.5, "miou_after": 0.49}],
    }
    found = measure_weights.of_export(report)
    assert found["folding"] == {"folded": 52, "kept": [], "relative_difference": 5e-7}
    assert found["exported"]["inference"] == {"labels_equal": 100, "passed": True}
    assert found["exported"]["onnxruntime"]["labels_equal"] == pytest.approx(99.99)
    assert found["int8"] == {"labels_equal": 97, "mIoU_before": 50, "mIoU_after": 49}


def test_presence_is_left_out_where_nothing_can_be_ranked():
    scores = np.array([[2.0, 1.0], [1.0, 1.0]])
    assert measure_run.presence(scores, np.array([[1, 1], [0, 1]])) == {
        "presence": {"average_precision": 100.0, "prior": 50.0}
    }
    assert measure_run.presence(scores, np.array([[0, 1], [0, 1]])) == {}


def test_the_rare_class_is_measured_again(tmp_path, monkeypatch):
    """With what the tools would write."""

    def tool(name, *flags):
        monkeypatch.setattr(sys, "argv", [name, *flags])
        parsed = runpy.run_path(str(shared.ROOT / "tools" / f"{name}.py"))["parse_args"]()
        if name == "new_config":
            Path(parsed.save_path).write_text("# 3 lamp: 0.37 %\nloss:\n  weight: &weight [1.0, 2.5]\n  rest: 1\n")
        elif name == "val":
            scores = {"mIoU": 0.5, "classes": {name: {"iou": 0.25} for name in measure_rare_class.CLASSES}}
            Path(parsed.save_dir).mkdir(exist_ok=True)
            Path(parsed.save_dir, "boundary.json").write_text(json.dumps(scores))

    monkeypatch.setattr(measure_rare_class, "tool", tool)
    monkeypatch.setattr(shared, "tool", tool)
    monkeypatch.setattr(measure_rare_class, "IMAGES", 2)
    monkeypatch.setattr(shared, "RESULTS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["measure_rare_class.py", "--seeds", "1"])
    args = measure_rare_class.parse_args()
    for _ in range(2):
        measure_rare_class.main(args)
    found = json.loads((tmp_path / "rare_class.json").read_text())
    assert (found["lamp_percent_of_pixels"], found["proposed_weights"]) == (0.37, [1, 2.5])
    assert [run["weights"] for run in found["runs"]] == ["none", "proposed"] and found["runs"][0]["lamp"] == 0.25


def test_camvid_becomes_a_folder_of_own_data(tmp_path):
    for kind in ("train", "trainannot"):
        (tmp_path / kind).mkdir()
    labels = np.arange(12, dtype=np.uint8)[None]  # 11 is void
    for i in range(7):
        cv2.imwrite(str(tmp_path / f"train/{i}.jpg"), np.zeros((1, 12, 3)))
        cv2.imwrite(str(tmp_path / f"trainannot/{i}.png"), labels)
    (tmp_path / "train.txt").write_text("".join(f"train/{i}.jpg trainannot/{i}.png\n" for i in range(7)))
    assert measure_own_data.flatten(tmp_path, tmp_path / "data") == 2
    assert sorted(path.name for path in tmp_path.glob("data/*/*")) == ["0.jpg", "0.png", "6.jpg", "6.png"]
    mask = cv2.imread(str(tmp_path / "data/masks/6.png"), cv2.IMREAD_GRAYSCALE)
    assert mask.tolist() == [[2, 1, 1, 0, 0, 2, 1, 1, 3, 3, 3, 255]]


def test_fields_of_a_layer():
    field = {"width": {"size": 295, "stride": 8.0, "centre": -4.0}, "effective": [{"share": 0.5, "side": 45}]}
    assert measure_weights.of_field(field) == {"size": 295, "stride": 8, "effective_sides": {"0.5": 45}}


@pytest.mark.parametrize("items, count, expected", [(9, 3, [1, 4, 7]), (2, 2, [0, 1]), (101, 3, [16, 50, 84])])
def test_pictures_are_spread(items, count, expected):
    assert measure_weights.spread(list(range(items)), count) == expected


def test_speed_is_measured_by_the_tools(tmp_path, monkeypatch):
    """With what the tools would write, and flags that they take."""
    timing = {"median": 1.0, "low": 1.0, "high": 1.0, "peak_memory": 1e8}
    backends = ("inference", "onnxruntime", "onnxruntime:int8")
    inference = [{"network": "SANet-S", "backend": backend, **timing} for backend in backends]
    inference.append({"network": measure_speed.TWIN, "backend": "torch, labels", **timing})
    figures = {
        "inference": inference,
        "training": [{"step": 2.0, "losses": timing}],
        "streaming": [{"bare": 2.0, "streaming": 1.0}],
    }
    called = []

    def tool(name, *flags):
        monkeypatch.setattr(sys, "argv", [name, *flags])
        parsed = runpy.run_path(str(shared.ROOT / "tools" / f"{name}.py"))["parse_args"]()
        called.append(getattr(parsed, "subject", name))
        if name == "benchmark":
            report = {"conditions": {"cores": "2"}, "figures": figures[parsed.subject]}
            Path(parsed.save_dir, f"{parsed.subject}.json").write_text(json.dumps(report))

    monkeypatch.setattr(measure_speed, "tool", tool)
    monkeypatch.setattr(measure_speed, "DOCS", tmp_path)
    monkeypatch.setattr(shared, "RESULTS", tmp_path)
    monkeypatch.setattr("paddleseg_ext.benchmarks.measuring.in_fresh_process", lambda *args: timing)
    monkeypatch.setattr(sys, "argv", ["measure_speed.py"])
    pytest.importorskip("torch")
    args = measure_speed.parse_args()
    measure_speed.main(args)
    found = json.loads((tmp_path / "speed.json").read_text())
    assert called == ["inference", "training", "export", "streaming"]
    assert found["inference"][-1]["network"] == "SANet-S in PyTorch"
    assert list(found["frameworks"]) == ["Paddle", "PyTorch"]
    assert found["summary"] == {"sanet_s_ms": 1000, "int8_times_as_fast": 1, "times_as_fast_as_pytorch": 1}

    figures["inference"] = [{"network": "BiSeNetV2", "backend": "inference", "failed": "no memory"}]
    with pytest.raises(measure_speed.UserError, match="BiSeNetV2, inference: no memory"):
        measure_speed.main(args)


def test_gradients_are_measured_before_they_are_clipped(tmp_path, monkeypatch):
    """The recipe clips them to a norm of 1."""
    make_street_dataset(
        str(tmp_path / "data" / "street"), dict.fromkeys(("train", "val", "test"), 4), (128, 64), 0, False
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(measure_gradients, "STEPS", 1)
    config = f"{shared.ROOT}/configs/sanet/{measure_gradients.RECIPES[1]}.yml"
    first, again, other = (measure_gradients.gradient_norms(config, seed) for seed in (1, 1, 2))
    assert len(first) == 1 and first[0] > 1
    assert first == again != other
