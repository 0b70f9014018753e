import hashlib
import json

import cv2
import numpy as np
import pytest
from paddleseg.cvlibs import manager

from paddleseg_ext.command import UserError
from paddleseg_ext.datasets.cityscapes_classes import IGNORE_INDEX, LABEL_IDS, TrainId, train_ids_to_label_ids
from paddleseg_ext.datasets.lists import SPLITS
from paddleseg_ext.street.dataset import MARKER, make_street_dataset
from paddleseg_ext.street.scene import CYCLE, FEATURED, MIN_SHARE, draw_picture

SIZE = (128, 64)
COUNTS = {"train": 6, "val": 4, "test": 4}


def make(root, counts=COUNTS, size=SIZE, seed=3, **kwargs):
    make_street_dataset(str(root), counts, size, seed, workers=1, **kwargs)


def contents(root):
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*.png")}


@pytest.fixture(scope="module")
def street(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "street"
    make(root)
    return root


@pytest.mark.parametrize("split", SPLITS)
def test_paddleseg_reads_every_split_with_all_classes(street, split):
    dataset = manager.DATASETS["Cityscapes"]([], str(street), split)
    assert len(dataset) == COUNTS[split]
    values = set()
    for picture, label in dataset.file_list:
        assert picture.replace("leftImg8bit", "") == label.replace("gtFine_labelTrainIds", "").replace("gtFine", "")
        assert cv2.imread(picture).shape == (SIZE[1], SIZE[0], 3)
        label = cv2.imread(label, cv2.IMREAD_UNCHANGED)
        assert label.shape == SIZE[::-1] and label.dtype == np.uint8
        values |= set(np.unique(label).tolist())
    assert values - {IGNORE_INDEX} == set(range(19))


def test_label_ids_are_those_of_the_train_ids(street):
    for path in street.glob("gtFine/*/*/*_labelTrainIds.png"):
        train_ids = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        label_ids = cv2.imread(str(path).replace("labelTrainIds", "labelIds"), cv2.IMREAD_UNCHANGED)
        for train_id, label_id in enumerate(LABEL_IDS):
            np.testing.assert_array_equal(label_ids == label_id, train_ids == train_id)


def test_label_ids_of_what_is_no_train_id_are_unlabeled():
    assert train_ids_to_label_ids(np.array([0, 18, 19, 255], np.uint8)).tolist() == [7, 33, 0, 0]


def test_featured_classes_are_all_classes_and_are_seen():
    assert set().union(*FEATURED) == set(TrainId)
    for index in range(CYCLE):
        _, label = draw_picture(0, "val", index, SIZE)
        assert all((label == train_id).mean() >= MIN_SHARE for train_id in FEATURED[index])


def test_a_picture_depends_on_seed_split_and_index_alone():
    def picture(seed, split, index):
        return draw_picture(seed, split, index, SIZE)[0].tobytes()

    pictures = {picture(*which) for which in ((0, "train", 5), (1, "train", 5), (0, "val", 5), (0, "train", 6))}
    assert len(pictures) == 4
    assert picture(0, "train", 5) in pictures


def test_the_bonnet_is_ignored():
    labels = [draw_picture(0, "train", index, SIZE)[1] for index in range(8)]
    with_bonnet = [label for label in labels if (label == IGNORE_INDEX).any()]
    assert with_bonnet
    assert all((label[-1] == IGNORE_INDEX).any() and label[0].max() < 19 for label in with_bonnet)


def test_workers_do_not_change_the_pictures(street, tmp_path):
    make_street_dataset(str(tmp_path / "again"), COUNTS, SIZE, seed=3, workers=2)
    assert contents(tmp_path / "again") == contents(street)


def test_an_interrupted_data_set_is_finished(street, tmp_path):
    root = tmp_path / "street"
    make(root)
    complete = contents(root)
    assert complete == contents(street)
    lost = root / next(iter(complete))
    lost.rename(lost.with_name(lost.name + ".part"))
    stamps = {path: path.stat().st_mtime_ns for path in root.rglob("*.png")}
    (lost.parent / ".ipynb_checkpoints").mkdir()
    make(root)
    assert contents(root) == complete and not list(root.rglob("*.part"))
    kept = [path for path, stamp in stamps.items() if path.stat().st_mtime_ns == stamp]
    assert len(kept) >= len(complete) - 3  # of one image at most were files written again


def test_other_settings_replace_the_data_set(tmp_path):
    make(tmp_path)
    first = contents(tmp_path)
    make(tmp_path, seed=4)
    second = contents(tmp_path)
    assert first.keys() == second.keys() and all(first[path] != second[path] for path in first)
    make(tmp_path, counts=dict.fromkeys(SPLITS, 4), seed=4)
    assert contents(tmp_path) == {
        path: second[path] for path in second if "000004" not in path.name and "000005" not in path.name
    }
    assert json.loads((tmp_path / MARKER).read_text())["seed"] == 4
    assert not list(tmp_path.rglob("*.part"))


def test_a_folder_of_others_is_refused_unless_told(tmp_path):
    foreign = tmp_path / "leftImg8bit" / "train" / "ulm" / "ulm_000000_000019_leftImg8bit.png"
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b"theirs")
    with pytest.raises(UserError, match="not made by this tool"):
        make(tmp_path)
    assert foreign.read_bytes() == b"theirs" and not (tmp_path / MARKER).exists()
    make(tmp_path, overwrite=True)
    assert not foreign.exists() and len(contents(tmp_path)) == 3 * sum(COUNTS.values())


def test_bad_settings_are_named(tmp_path):
    with pytest.raises(UserError, match="--num_val 3: at least 4"):
        make(tmp_path / "a", counts={**COUNTS, "val": 3})
    for size in ((128, 32), (64, 128), (512, 64)):
        with pytest.raises(UserError, match=f"--size {size[0]} {size[1]}: "):
            make(tmp_path / "a", size=size)
    with pytest.raises(UserError, match="--seed -1: give at least 0"):
        make(tmp_path / "a", seed=-1)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file"):
        make(tmp_path / "file")
    assert not (tmp_path / "a").exists()


def test_pictures_are_those_drawn_before():
    """A change of the drawing code that is meant to change no image changes none."""
    digest = hashlib.sha256()
    for index in range(CYCLE):
        for pixels in draw_picture(7, "val", index, (128, 64)):
            digest.update(pixels.tobytes())
    assert digest.hexdigest()[:16] == "fbc3b752b6b6ec93"
