import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import paddle
import pytest
from paddleseg.core import evaluate
from paddleseg.cvlibs import manager
from picture_support import run_tool
from PIL import Image

from paddleseg_ext.command import UserError
from paddleseg_ext.data_tools.cityscapes_submission import (
    ARCHIVE,
    check_submission,
    find_scenes,
    make_submission,
    official_evaluation,
    read_predictions,
    score,
)
from paddleseg_ext.datasets.cityscapes_classes import CLASSES, LABEL_IDS, TrainId
from paddleseg_ext.street.dataset import make_street_dataset

SIZE = (128, 64)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "street"
    make_street_dataset(str(root), {"train": 4, "val": 5, "test": 4}, SIZE, seed=0, workers=1)
    return str(root)


def labels_of(root, split="val"):
    paths = sorted(Path(root, "gtFine", split).glob("*/*_labelTrainIds.png"))
    return [np.array(Image.open(path)) for path in paths]


@pytest.fixture
def predictions(root, tmp_path):
    """A folder of train ids for the val split, two thirds of them right, in palette and grey PNGs and sub-folders."""
    rng = np.random.default_rng(0)
    for number, (scene, label) in enumerate(zip(find_scenes(root, "val"), labels_of(root))):
        wrong = (rng.random(label.shape) < 0.33) | (label == 255)
        picture = Image.fromarray(np.where(wrong, rng.integers(0, 19, label.shape), label).astype(np.uint8))
        if number % 2:
            picture.putpalette(rng.integers(0, 256, 768, np.uint8).tobytes())
        path = tmp_path / "predictions" / f"city{number}" / f"{scene.name}_leftImg8bit.png"
        path.parent.mkdir(parents=True)
        picture.save(path)
    return tmp_path / "predictions"


def read(folder, root):
    return list(read_predictions(str(folder), find_scenes(root, "val")))


def test_archive_holds_label_ids_under_the_servers_names(root, predictions, tmp_path):
    scenes = find_scenes(root, "val")
    archive = make_submission(scenes, read_predictions(str(predictions), scenes), str(tmp_path / "out"))
    check_submission(archive, scenes)
    with zipfile.ZipFile(archive) as file:
        assert file.namelist() == [f"valville_{i:06d}_000019_pred_labelIds.png" for i in range(5)]
        for name, train_ids in zip(file.namelist(), read(predictions, root)):
            with file.open(name) as png:
                np.testing.assert_array_equal(np.array(Image.open(png)), np.array(LABEL_IDS)[train_ids])
    assert not list(tmp_path.rglob("*.part"))
    path = picture(predictions, 2)
    path.rename(path.with_suffix(".PNG"))
    assert len(read(predictions, root)) == 5


class Recorded(paddle.nn.Layer):
    """A network that returns recorded predictions, one a call."""

    def __init__(self, predictions):
        super().__init__()
        self.predictions = iter(predictions)

    def forward(self, x):
        one_hot = next(self.predictions) == np.arange(19)[:, None, None]
        return [paddle.to_tensor(one_hot[None].astype("float32"))]


def test_official_score_is_paddlesegs_miou(root, predictions, tmp_path):
    pytest.importorskip("cityscapesscripts")
    scenes = find_scenes(root, "val")
    make_submission(scenes, read_predictions(str(predictions), scenes), str(tmp_path / "out"))
    scores = score(official_evaluation(scenes), scenes, str(tmp_path / "out"))

    dataset = manager.DATASETS["Cityscapes"]([], root, "val")
    miou, _, class_iou, *_ = evaluate(Recorded(read(predictions, root)), dataset, print_detail=False)
    assert 0.2 < miou < 0.8
    assert f"{scores['mean']:.4f}" == f"{miou:.4f}"
    np.testing.assert_allclose([scores[name] for name in CLASSES], class_iou, rtol=0, atol=1e-6)


def test_scenes_need_the_layout_and_the_names(root, tmp_path):
    with pytest.raises(UserError, match="leftImg8bit/test"):
        find_scenes(str(tmp_path), "test")
    odd = tmp_path / "leftImg8bit" / "test" / "ulm" / "ulm_1_2_leftImg8bit.png"
    odd.parent.mkdir(parents=True)
    odd.touch()
    with pytest.raises(UserError, match="ulm_1_2"):
        find_scenes(str(tmp_path), "test")


def picture(predictions, number):
    return next(predictions.glob(f"city{number}/*.png"))


def test_missing_prediction_is_named(root, predictions):
    with pytest.raises(UserError, match="--predictions nowhere: there is no such folder"):
        read("nowhere", root)
    picture(predictions, 3).unlink()
    with pytest.raises(UserError, match="1 of 5 images have no prediction, e.g. valville_000003_000019"):
        read(predictions, root)


def test_second_prediction_is_named(root, predictions):
    shutil.copy(picture(predictions, 3), predictions / "valville_000003_000019_again.png")
    with pytest.raises(UserError, match="valville_000003_000019 has 2 predictions"):
        read(predictions, root)


@pytest.mark.parametrize("name", ["ulm_000000_000019.png", "notes.png", "valville_000003_0000191.png"])
def test_prediction_of_no_scene_is_named(root, predictions, name):
    shutil.copy(picture(predictions, 3), predictions / name)
    with pytest.raises(UserError, match=f"{name}: belongs to no image"):
        read(predictions, root)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (np.full((64, 128), TrainId.BICYCLE + 1, np.uint8), "holds 19, expected train ids"),
        (np.full((64, 128), LABEL_IDS[-1], np.uint8), "label ids already"),
        (np.zeros((64, 128, 3), np.uint8), "mode RGB"),
        (np.zeros((64, 128), np.uint16), "mode I;16"),
    ],
)
def test_what_is_not_train_ids_is_named(root, predictions, content, complaint):
    path = picture(predictions, 2)
    Image.fromarray(content).save(path)
    with pytest.raises(UserError, match=f"{path.name}.*{complaint}"):
        read(predictions, root)


def test_damaged_prediction_is_named(root, predictions):
    path = picture(predictions, 2)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(UserError, match=path.name):
        read(predictions, root)


def test_size_of_the_picture_is_demanded(root, predictions, tmp_path):
    path = picture(predictions, 2)
    Image.fromarray(np.zeros((32, 128), np.uint8)).save(path)
    with pytest.raises(UserError, match=f"^{path}: is 128 x 32, its image 128 x 64"):
        make_submission(find_scenes(root, "val"), read(predictions, root), str(tmp_path / "out"))
    assert not list((tmp_path / "out").glob("submission.*"))


def test_a_wrong_prediction_leaves_what_was_there(root, predictions, tmp_path):
    out = tmp_path / "out"
    make_submission(find_scenes(root, "val"), read(predictions, root), str(out))
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    Image.fromarray(np.full((64, 128), 19, np.uint8)).save(picture(predictions, 3))
    scenes = find_scenes(root, "val")
    with pytest.raises(UserError, match="holds 19"):
        make_submission(scenes, read_predictions(str(predictions), scenes), str(out))
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_the_folder_that_is_replaced_cannot_be_read(root, predictions, tmp_path):
    (tmp_path / "out").mkdir()
    predictions.rename(tmp_path / "out/submission")
    for source in ("out/submission", "out/submission/city3"):
        with pytest.raises(UserError, match="out/submission will be replaced: give another --save_dir"):
            run_tool(
                "cityscapes_submission",
                dataset_root=root,
                split="val",
                predictions=tmp_path / source,
                save_dir=tmp_path / "out",
            )
    assert len(list(tmp_path.rglob("*.png"))) == 5


def archive_of(tmp_path, members):
    with zipfile.ZipFile(tmp_path / ARCHIVE, "w") as file:
        for name, ids in members.items():
            with file.open(name, "w") as png:
                Image.fromarray(ids).save(png, "png")
    return tmp_path / ARCHIVE


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda members: members.popitem(), "holds 4 files, expected 5"),
        (lambda members: members.update({"extra.png": members.pop("valville_000001_000019.png")}), "extra.png is not"),
        (
            lambda members: members.update(
                {"a/valville_000002_000019_b.png": members.pop("valville_000001_000019.png")}
            ),
            "of one more image",
        ),
        (lambda members: members["valville_000001_000019.png"].fill(0), r"000001.*holds \[0\]"),
    ],
)
def test_faulty_archives_are_refused(root, tmp_path, change, complaint):
    members = {f"valville_{i:06d}_000019.png": np.full((64, 128), 7, np.uint8) for i in range(5)}
    check_submission(archive_of(tmp_path, members), find_scenes(root, "val"))
    change(members)
    with pytest.raises(UserError, match=complaint):
        check_submission(archive_of(tmp_path, members), find_scenes(root, "val"))


def test_score_needs_labels(root):
    scenes = find_scenes(root, "test")
    scenes[2].label.rename(scenes[2].label.with_suffix(".away"))
    with pytest.raises(UserError, match="testville_000002.*1 of 4"):
        official_evaluation(scenes)


def test_tool_from_run_folder_to_archive(root, tmp_path):
    """Predicts a split with a stock network and writes the archive."""
    from paddleseg.models import BiSeNetV2

    paddle.seed(0)
    paddle.save(BiSeNetV2(19).state_dict(), str(tmp_path / "model.pdparams"))
    data = {"type": "Cityscapes", "dataset_root": root, "transforms": [{"type": "Normalize"}]}
    config = {
        "batch_size": 1,
        "iters": 1,
        "model": {"type": "BiSeNetV2", "num_classes": 19},
        "train_dataset": {**data, "mode": "train"},
        "val_dataset": {**data, "mode": "val"},
        "optimizer": {"type": "SGD"},
        "lr_scheduler": {"type": "PolynomialDecay", "learning_rate": 0.01},
        "loss": {"types": [{"type": "CrossEntropyLoss"}], "coef": [1] * 5},
    }
    (tmp_path / "config.yml").write_text(json.dumps(config))  # JSON is YAML
    flags = {"dataset_root": root, "split": "val", "save_dir": tmp_path / "out"}
    run_tool("cityscapes_submission", model_path=tmp_path, **flags)
    check_submission(tmp_path / "out" / ARCHIVE, find_scenes(root, "val"))
    for source in ({"config": tmp_path / "config.yml"}, {"model_path": tmp_path, "predictions": tmp_path}):
        with pytest.raises(UserError, match="give either --model_path"):
            run_tool("cityscapes_submission", **source, **flags)
