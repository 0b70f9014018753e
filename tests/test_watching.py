"""What VisualDL shows of a training, and runs that end early or whose losses do not fit."""

import math
import re
import socket
import subprocess
import sys
import time
from dataclasses import replace

import cv2
import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from browser_support import at_both_widths, browse, count_colours, needs_chromium
from paddleseg.core import evaluate, train
from paddleseg.datasets import Dataset
from paddleseg.models import losses
from paddleseg.transforms import Normalize
from picture_support import NUM_CLASSES, write_dataset
from visualdl import LogReader, LogWriter

from paddleseg_ext.analysis.boundary_quality import evaluate_boundaries
from paddleseg_ext.command import UserError
from paddleseg_ext.datasets.description import Classes
from paddleseg_ext.host.trainer import TrainingRun
from paddleseg_ext.losses import ActiveBoundaryLoss
from paddleseg_ext.models import SANet, SANetEncoder
from paddleseg_ext.training.watching import PICTURES, TILE_WIDTH, Watch, draw, loss_names, tag_of

NAMES = ("road/path", "100% sky", "tree", "car")


class Writer:
    """Keeps what VisualDL's writer would write."""

    def __init__(self):
        self.scalars, self.images, self.texts = {}, {}, {}

    def add_scalar(self, tag, value, step):
        self.scalars[tag, step] = value

    def add_image(self, tag, image, step):
        self.images[tag, step] = image

    def add_text(self, tag, text, step):
        self.texts[tag] = text

    def close(self):
        pass


def sanet(*outputs):
    paddle.seed(0)
    return SANet(num_classes=NUM_CLASSES, backbone=SANetEncoder(base_channels=8), outputs=outputs)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = write_dataset(tmp_path_factory.mktemp("watched"), count=6)
    (root / "classes.txt").write_text("\n".join(NAMES))
    return root


@pytest.fixture
def dataset(root):
    return Dataset("val", str(root), [Normalize()], NUM_CLASSES, val_path=str(root / "val.txt"))


def settings(*types, coef=None):
    return {"types": list(types), "coef": coef or [1] * len(types)}


def test_losses_are_called_by_output_and_class():
    main, aux = losses.CrossEntropyLoss(), losses.CrossEntropyLoss()
    assert loss_names(sanet("main", "aux"), settings(main, aux)) == ["main CrossEntropyLoss", "aux CrossEntropyLoss"]
    assert loss_names(None, settings(main, aux)) == ["CrossEntropyLoss 1", "CrossEntropyLoss 2"]
    mixed = losses.MixedLoss([losses.CrossEntropyLoss(), losses.DiceLoss()], [1, 1])
    assert loss_names(None, settings(mixed)) == ["CrossEntropyLoss", "DiceLoss"]


def test_scalars_of_the_trainer_get_telling_names():
    writer = Writer()
    watch = Watch(writer, None, settings(losses.CrossEntropyLoss(), losses.DiceLoss()))
    logged = {"loss": 3.0, "loss_0": 1.0, "loss_1": 2.0, "loss_2": 9.0, "batch_cost": 0.5, "reader_cost": 0.125}
    for tag, value in logged.items():
        watch.add_scalar(f"Train/{tag}", value, 10)
    watch.add_scalar("Train/lr", math.nan, 10)
    assert {tag: value for (tag, _), value in writer.scalars.items()} == {
        "Train/loss": 3.0,
        "Train/CrossEntropyLoss": 1.0,
        "Train/DiceLoss": 2.0,
        "Train/loss 3": 9.0,
        "Seconds per step/all": 0.5,
        "Seconds per step/waiting for data": 0.125,
        "Seconds per step/network": 0.375,
    }


def test_an_evaluation_is_shown_and_stays_as_it_was(dataset):
    writer, network, loss = Writer(), sanet("main", "boundary"), losses.CrossEntropyLoss()
    watch = Watch(writer, network, settings(loss, losses.DiceLoss(), coef=[0.5, 1]))
    expected = evaluate_boundaries(network, dataset, NAMES, widths=[2], print_detail=False)
    plain = evaluate(network, dataset, print_detail=False)
    seen = watch.evaluate(evaluate, network, dataset, 20, print_detail=False)
    for one, other in zip(seen, plain):
        np.testing.assert_array_equal(one, other)
    shown = {tag: value for (tag, step), value in writer.scalars.items() if step == 20}
    assert shown["Evaluate/mIoU"] == shown["Evaluate/best mIoU"] == pytest.approx(expected["mIoU"])
    assert shown["Evaluate/boundary IoU, 2 px"] == pytest.approx(expected["mean"]["boundary_iou"]["2"])
    assert shown["Evaluate/boundary F-score, 2 px"] == pytest.approx(expected["mean"]["boundary_f_score"]["2"])
    for name in NAMES:
        assert shown[f"IoU/{tag_of(name)}"] == pytest.approx(expected["classes"][name]["iou"])
    values = []
    with paddle.no_grad():
        for sample in dataset:
            logits = network(paddle.to_tensor(sample["img"][None]))[0]
            values.append(
                0.5 * float(F.cross_entropy(logits, paddle.to_tensor(sample["label"]).astype("int64"), axis=1))
            )
    assert shown["Evaluate/loss"] == pytest.approx(np.mean(values), rel=1e-5)
    assert [tag for tag, _ in writer.images] == ["Images/1 p0", "Images/2 p1", "Images/3 p3", "Images/4 p4"]
    assert len(writer.images) == PICTURES
    watch.close()
    assert writer.texts["Best model"] == f"mIoU {expected['mIoU']:.4f} at iteration 20"


def test_an_evaluation_is_no_step_of_a_ramp(dataset):
    ramp = ActiveBoundaryLoss(ramp_iters=10)
    network = sanet("main")
    mixed = losses.MixedLoss([losses.CrossEntropyLoss(), ramp], [1, 1])
    Watch(Writer(), network, settings(mixed)).evaluate(evaluate, network, dataset, 1, print_detail=False)
    assert int(ramp.steps) == 0 and ramp.training


def test_an_error_that_does_not_repeat_stays_as_it_is(monkeypatch):
    """It would be its own cause."""

    class Once(paddle.nn.Layer):
        def forward(self, logits, labels):
            if not hasattr(self, "raised"):
                self.raised = True
                raise RuntimeError("for once")
            return logits.mean()

    named = sys.modules[train.__module__].loss_computation
    outputs, labels = [paddle.zeros([1, 2, 2, 2])], paddle.zeros([1, 2, 2], "int64")
    with pytest.raises(RuntimeError, match="for once") as caught:
        named(outputs, labels, None, settings(Once()))
    assert caught.value.__cause__ is None


def test_no_loss_is_blamed_for_a_full_memory():
    class Large(paddle.nn.Layer):
        def forward(self, logits, labels):
            raise MemoryError("Out of memory error on GPU 0")

    named = sys.modules[train.__module__].loss_computation
    with pytest.raises(MemoryError, match="Out of memory"):
        named([paddle.zeros([1, 2, 2, 2])], paddle.zeros([1, 2, 2], "int64"), None, settings(Large()))


def test_slashes_and_per_cent_signs_do_not_get_into_tags():
    assert tag_of("road/path, 100%") == "road|path, 100percent"


def test_a_loss_that_takes_no_logits_is_left_out(dataset, logged):
    class Needy(paddle.nn.Layer):
        def forward(self, logits, labels, more):
            return logits

    writer, network = Writer(), sanet("main")
    watch = Watch(writer, network, settings(Needy()))
    watch.evaluate(evaluate, network, dataset, 1, print_detail=False)
    assert ("Evaluate/loss", 1) not in writer.scalars and ("Evaluate/mIoU", 1) in writer.scalars
    watch.evaluate(evaluate, network, dataset, 2, print_detail=False)
    assert "\n".join(logged).count("no validation loss: main Needy cannot be computed") == 1


def test_wrong_pixels_are_red_and_ignored_ones_are_not():
    colours = np.zeros((256, 3), np.uint8)
    colours[1] = (0, 0, 200)
    classes = Classes(("a", "b"), colours, 255)
    label = np.zeros((40, TILE_WIDTH), np.uint8)
    label[:, 200:300], label[:, 300:] = 1, 255
    pred = np.zeros_like(label)
    drawn = draw(np.full((*label.shape, 3), 90, np.uint8), label, pred, classes)
    y, x = 34 + 42 + 34 + 20, TILE_WIDTH + 8 + 4  # the middle of the fourth tile
    red = [bool(drawn[y, x + column, 2] > 150) for column in (100, 250, 350)]
    assert red == [False, True, False]
    drawn = draw(np.full((*label.shape, 3), 90, np.uint8), label, pred + 1, replace(classes, ignore_index=0))
    assert (drawn[y, x : x + 400, 2] < 150).all()
    assert drawn.shape[1] == 2 * (TILE_WIDTH + 8)
    with_boundary = draw(np.zeros((*label.shape, 3), np.uint8), label, pred, classes, np.zeros(label.shape))
    assert with_boundary.shape[1] == 3 * (TILE_WIDTH + 8)


def run_trainer(dataset, root, save_dir, network, setting, **options):
    training = Dataset("train", str(root), [Normalize()], NUM_CLASSES, train_path=str(root / "val.txt"))
    train(
        network,
        training,
        val_dataset=dataset,
        optimizer=paddle.optimizer.SGD(0.01, parameters=network.parameters()),
        save_dir=str(save_dir),
        losses=setting,
        **{"iters": 2, "batch_size": 2, "save_interval": 1, "log_iters": 1, **options},
    )


def test_a_training_in_visualdl(dataset, root, tmp_path):
    setting = settings(losses.CrossEntropyLoss(), losses.DiceLoss())
    run_trainer(dataset, root, tmp_path, sanet("main", "aux"), setting, use_vdl=True, use_ema=True)
    run_trainer(dataset, root, tmp_path / "unwatched", sanet("main", "aux"), setting)
    weights = [paddle.load(str(folder / "iter_2/model.pdparams")) for folder in (tmp_path, tmp_path / "unwatched")]
    for name, value in weights[0].items():
        np.testing.assert_array_equal(value.numpy(), weights[1][name].numpy(), err_msg=name)
    (path,) = tmp_path.glob("vdlrecords.*.log")
    reader = LogReader(file_path=str(path))
    tags = reader.get_tags()
    assert {tag for tag in tags["scalar"] if tag.startswith("Train/")} == {
        "Train/loss",
        "Train/lr",
        "Train/main CrossEntropyLoss",
        "Train/aux DiceLoss",
    }
    assert "Evaluate/mIoU of the averaged weights" in tags["scalar"] and "IoU/tree" in tags["scalar"]
    assert [record.id for record in reader.get_data("scalar", "Evaluate/mIoU")] == [1, 2]
    assert len(tags["image"]) == PICTURES and tags["text"] == ["Best model"]
    encoded = reader.get_data("image", tags["image"][0])[0].image.encoded_image_string
    assert cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR).shape[1] == 2 * (TILE_WIDTH + 8)


@pytest.fixture(scope="module")
def visualdl(root, tmp_path_factory):
    """The address of VisualDL's server over three evaluations."""
    folder = tmp_path_factory.mktemp("log")
    dataset = Dataset("val", str(root), [Normalize()], NUM_CLASSES, val_path=str(root / "val.txt"))
    network = sanet("main", "boundary")
    watch = Watch(LogWriter(str(folder)), network, settings(losses.CrossEntropyLoss(), losses.DiceLoss()))
    for step in (10, 20, 30):
        for tag in ("loss", "loss_0", "loss_1", "lr", "batch_cost", "reader_cost"):
            watch.add_scalar(f"Train/{tag}", 3 / step, step)
        watch.evaluate(evaluate, network, dataset, step, print_detail=False)
    watch.close()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flags = ["--logdir", folder, "--host", "127.0.0.1", "--port", port, "--language", "en", "--disable-telemetry"]
    server = subprocess.Popen([sys.executable, "-m", "visualdl.server.app", *map(str, flags)])
    try:
        for _ in range(600):
            time.sleep(0.1)
            assert server.poll() is None
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)) == 0:
                    break
        yield f"http://127.0.0.1:{port}/app"
    finally:
        server.terminate()
        server.wait()


@pytest.mark.slow
@needs_chromium
@at_both_widths
def test_curves_in_a_browser(visualdl, width):
    drawn = "c => c.width && c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(Boolean)"
    html, shot = browse(
        f"{visualdl}/scalar", width, f"[...document.querySelectorAll('canvas')].filter({drawn}).length == 6"
    )
    for group, curves in {"Evaluate": 6, "IoU": 4, "Seconds per step": 3, "Train": 4}.items():
        assert re.search(rf">{group}<.{{0,200}}?>{curves}<", html), group
    assert html.count("<canvas") == 6  # of the first group, which is open
    assert count_colours(shot) > 200


@pytest.mark.slow
@needs_chromium
@at_both_widths
def test_pictures_in_a_browser(visualdl, width):
    html, shot = browse(
        f"{visualdl}/sample/image", width, "document.querySelector('img[src^=\"blob:\"]')?.naturalWidth"
    )
    for tag in ("Images/1 p0", "Images/2 p1", "Images/3 p3", "Images/4 p4"):
        assert f">{tag}<" in html
    assert 'src="blob:' in html and "Sample: 1/3" in html  # those in view are loaded
    assert count_colours(shot) > 500


@pytest.mark.slow
@needs_chromium
def test_the_best_model_in_a_browser(visualdl):
    html, _ = browse(f"{visualdl}/sample/text", 1280, "document.body.innerText.includes('mIoU')")
    assert re.search(r"mIoU 0\.\d{4} at iteration 10", html)


def test_a_run_ends_when_nothing_gets_better(dataset, root, tmp_path, monkeypatch, logged):
    scores = iter([0.2, 0.3, 0.3, 0.1, 0.9])

    def scored(model, dataset, **options):
        return next(scores), 0.5, np.zeros(NUM_CLASSES), np.zeros(NUM_CLASSES), 0.0

    monkeypatch.setitem(train.__globals__, "evaluate", scored)
    monkeypatch.setattr(TrainingRun, "early_stop_intervals", 2)
    run_trainer(dataset, root, tmp_path, sanet("main"), settings(losses.CrossEntropyLoss()), iters=9)
    assert sorted(path.name for path in tmp_path.glob("iter_*")) == [f"iter_{i}" for i in (1, 2, 3, 4)]
    told = "\n".join(logged)
    assert "no mIoU above 0.3000, that of iteration 2, in the last 2 evaluations" in told
    assert "IoU by class: road/path 0.0000, 100% sky 0.0000" in told


@pytest.mark.parametrize(
    "outputs, types, told",
    [
        (("main", "aux"), ["CrossEntropyLoss"], r"1 losses \(CrossEntropyLoss\) for the 2 outputs .*model.outputs"),
        (("main", "boundary"), ["CrossEntropyLoss", "CrossEntropyLoss"], r"loss.types\[1\]: CrossEntropyLoss does not"),
    ],
)
def test_losses_that_do_not_fit_are_named(outputs, types, told, dataset, root, tmp_path):
    setting = settings(*(getattr(losses, name)() for name in types))
    with pytest.raises(UserError, match=told):
        run_trainer(dataset, root, tmp_path, sanet(*outputs), setting)
