import os
from pathlib import Path

import numpy as np
import pytest
from hostile_support import png_with_size
from paddleseg.cvlibs import manager
from PIL import Image
from scipy.io import savemat

from paddleseg_ext import GTAV, GTAV35, CamVid
from paddleseg_ext.builder import Builder, load_config
from paddleseg_ext.command import UserError
from paddleseg_ext.datasets import base, cityscapes_classes
from paddleseg_ext.datasets.palettes import CAMVID, UNKNOWN, camvid_decoder, gtav_decoder
from paddleseg_ext.datasets.palettes import GTAV as GTAV_LABELS

CONFIG = Path(__file__).parents[1] / "configs/_base_/camvid.yml"
HEIGHT, WIDTH = 24, 32


def random_picture(seed=0, size=(HEIGHT, WIDTH)):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8))


def blocks(number, size=(HEIGHT, WIDTH), seed=0):
    """A map of random blocks of 0 to number - 1, each of them somewhere."""
    rng = np.random.default_rng(seed)
    small = rng.permutation(np.resize(np.arange(number), 12 * 16)).reshape(12, 16)
    return np.repeat(np.repeat(small, -(-size[0] // 12), 0), -(-size[1] // 16), 1)[: size[0], : size[1]]


def colour_by_colour(rgb, classes):
    """What the look-up must equal: one comparison per colour. `classes`: colour -> class."""
    label = np.full(rgb.shape[:2], 255, np.uint8)
    for colour, index in classes.items():
        label[(rgb == colour).all(-1)] = index
    return label


def camvid_classes(others):
    table = {(0, 0, 0): 255}
    for index, members in enumerate(CAMVID.values()):
        for place, colour in enumerate(members.values()):
            table[colour] = index if place == 0 or others == "merge" else 255
    return table


def gtav_classes(num_classes):
    table = {}
    for label_id, (_, colour) in reversed(list(enumerate(GTAV_LABELS))):
        of_19 = cityscapes_classes.LABEL_IDS.index(label_id) if label_id in cityscapes_classes.LABEL_IDS else 255
        table[colour] = label_id if num_classes == 35 else of_19
    return table


DECODERS = {
    "camvid ignore": (camvid_decoder("ignore"), camvid_classes("ignore")),
    "camvid merge": (camvid_decoder("merge"), camvid_classes("merge")),
    "gtav 19": (gtav_decoder(19), gtav_classes(19)),
    "gtav 35": (gtav_decoder(35), gtav_classes(35)),
}


@pytest.mark.parametrize("dataset", [CamVid, GTAV, GTAV35])
def test_attributes_fit_together(dataset):
    assert manager.DATASETS[dataset.__name__] is dataset
    assert len(dataset.CLASSES) == len(set(dataset.CLASSES)) == len(dataset.PALETTE) == dataset.NUM_CLASSES
    assert (dataset.IGNORE_INDEX, dataset.IMG_CHANNELS) == (255, 3)


def test_camvid_has_32_colours_and_gtav_the_label_ids_of_cityscapes():
    assert len(camvid_classes("merge")) == 32
    assert tuple(GTAV_LABELS[i][0] for i in cityscapes_classes.LABEL_IDS) == GTAV.CLASSES


class TestDecoding:
    @pytest.mark.parametrize("name", DECODERS)
    @pytest.mark.parametrize("mode", ["RGB", "RGBA"])
    def test_equals_a_comparison_per_colour(self, name, mode):
        decoder, classes = DECODERS[name]
        colours = np.array([*classes, (1, 2, 3)], np.uint8)  # the last is no class
        rgb = colours[blocks(len(colours))]
        label = decoder.decode(Image.fromarray(rgb).convert(mode))
        assert (label == UNKNOWN).sum() == (rgb == (1, 2, 3)).all(-1).sum() > 0
        np.testing.assert_array_equal(np.where(label == UNKNOWN, 255, label), colour_by_colour(rgb, classes))

    def test_ids_of_camvid(self):
        ids = blocks(13).astype(np.uint8)
        label = DECODERS["camvid ignore"][0].decode(Image.fromarray(ids))
        np.testing.assert_array_equal(label, np.where(ids == 11, 255, np.where(ids == 12, UNKNOWN, ids)))

    @pytest.mark.parametrize("num_classes", [19, 35])
    @pytest.mark.parametrize("palette", ["none", "own", "arbitrary"])
    def test_ids_of_gtav(self, num_classes, palette):
        """All 35 ids survive a palette in which some of them share a colour."""
        ids = blocks(35).astype(np.uint8)
        picture = Image.fromarray(ids)
        if palette != "none":
            colours = [colour for _, colour in GTAV_LABELS] if palette == "own" else [(i, 7, i) for i in range(35)]
            picture.putpalette(np.ravel(colours).tolist())
            assert picture.mode == "P"
        expected = ids if num_classes == 35 else np.full(256, 255, np.uint8)
        if num_classes == 19:
            expected[list(cityscapes_classes.LABEL_IDS)] = np.arange(19)
            expected = expected[ids]
        np.testing.assert_array_equal(gtav_decoder(num_classes).decode(picture), expected)

    def test_a_palette_of_camvids_colours_in_any_order_means_its_colours(self):
        decoder, classes = DECODERS["camvid merge"]
        colours = np.random.default_rng(0).permutation(np.array(list(classes), np.uint8))
        indices = blocks(32)
        picture = Image.fromarray(indices.astype(np.uint8))
        picture.putpalette(colours.ravel().tolist())
        np.testing.assert_array_equal(decoder.decode(picture), colour_by_colour(colours[indices], classes))

    def test_reading_ignores_what_is_unknown_and_names_what_is_broken(self, tmp_path):
        decoder = DECODERS["camvid ignore"][0]
        Image.fromarray(np.array([[3, 11, 77]], np.uint8)).save(tmp_path / "a.png")
        assert decoder.read(str(tmp_path / "a.png")).tolist() == [[3, 255, 255]]
        random_picture().save(tmp_path / "b.png")
        os.truncate(tmp_path / "b.png", 1000)
        Image.new("CMYK", (2, 2)).save(tmp_path / "c.jpg")
        for name in ("b.png", "c.jpg"):
            with pytest.raises(ValueError, match=name):
                decoder.read(str(tmp_path / name))

    def test_a_header_that_claims_30000_x_30000_pixels_is_refused(self, tmp_path):
        path = tmp_path / "bomb.png"
        path.write_bytes(png_with_size(30000, 30000))
        with pytest.raises(ValueError, match="bomb.png.*178,956,970 pixels"):
            DECODERS["gtav 19"][0].read(str(path))


def save_pair(image_path, label_path, seed=0, size=(HEIGHT, WIDTH)):
    for path in (image_path, label_path):
        path.parent.mkdir(parents=True, exist_ok=True)
    random_picture(seed, size).save(image_path)
    Image.fromarray(blocks(11, size, seed).astype(np.uint8)).save(label_path)


@pytest.fixture
def listed(tmp_path):
    """A CamVid with lists of one image."""
    for split in ("train", "val", "test"):
        save_pair(tmp_path / f"{split}/a.png", tmp_path / f"{split}annot/a.png")
        (tmp_path / f"{split}.txt").write_text(f"{split}/a.png {split}annot/a.png\n")
    return tmp_path


def names(dataset):
    return [os.path.splitext(os.path.basename(image))[0] for image, _ in dataset.file_list]


class TestFiles:
    def test_real_camvid_by_list_by_folders_and_by_the_published_split(self, shared, tmp_path):
        root = shared / "data/camvid"
        for split, number in {"train": 367, "val": 101, "test": 233}.items():
            (tmp_path / split).symlink_to(root / split)
            (tmp_path / f"{split}annot").symlink_to(root / f"{split}annot")
            for folder, source, ending in (("images", split, ".jpg"), ("labels", f"{split}annot", "_L.png")):
                (tmp_path / "flat" / folder).mkdir(parents=True, exist_ok=True)
                for file in (root / source).iterdir():
                    (tmp_path / "flat" / folder / f"{file.stem}{ending}").symlink_to(file)
            assert len(CamVid([], str(root), split)) == number
        for split in ("train", "val", "test"):
            expected = sorted(names(CamVid([], str(root), split)))
            assert names(CamVid([], str(tmp_path), split)) == expected
            assert names(CamVid([], str(tmp_path / "flat"), split)) == expected

    def test_kaggles_folders(self, tmp_path):
        save_pair(tmp_path / "train/a.png", tmp_path / "train_labels/a_L.png")
        assert names(CamVid([], str(tmp_path))) == ["a"]

    def test_blank_and_unpaired_pictures_are_skipped_and_counted(self, tmp_path, monkeypatch):
        warnings = []
        monkeypatch.setattr(base.logger, "warning", warnings.append)
        for i in range(1, 9):
            save_pair(tmp_path / f"images/{i:05d}.png", tmp_path / f"labels/{i:05d}.png", seed=i)
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "images/00001.png")
        (tmp_path / "images/00002.png").write_bytes(b"")
        (tmp_path / "labels/00003.png").unlink()
        (tmp_path / "images/00004.png").unlink()
        assert len(GTAV([], str(tmp_path))) == 0
        assert len(warnings) == 1 and "skipped 2 blank images and 2 files without partner" in warnings[0]
        assert [names(GTAV([], str(tmp_path), split)) for split in ("val", "test")] == [
            ["00005", "00006"],
            ["00007", "00008"],
        ]
        assert len(warnings) == 1

    def test_published_split_of_gtav(self, tmp_path):
        for i in range(1, 5):
            save_pair(tmp_path / f"images/{i:05d}.png", tmp_path / f"labels/{i:05d}.png", seed=i)
        savemat(tmp_path / "split.mat", {"trainIds": [[2], [4]], "valIds": [[1]], "testIds": [[3]]})
        assert [names(GTAV35([], str(tmp_path), split)) for split in ("train", "val", "test")] == [
            ["00002", "00004"],
            ["00001"],
            ["00003"],
        ]

    def test_lists_by_path_and_separator(self, listed):
        (listed / "mine.csv").write_text("val/a.png,valannot/a.png\n")
        dataset = CamVid([], str(listed), "val", val_path=str(listed / "mine.csv"), separator=",")
        assert dataset.file_list == [[str(listed / "val/a.png"), str(listed / "valannot/a.png")]]

    @pytest.mark.parametrize("lists", [True, False])
    def test_trainval_is_train_and_val(self, listed, lists):
        for split in ("train", "val", "test"):
            if not lists:
                (listed / f"{split}.txt").unlink()
        dataset = CamVid([], str(listed), "trainval")
        assert dataset.file_list == CamVid([], str(listed)).file_list + CamVid([], str(listed), "val").file_list
        assert len(dataset) == 2 and dataset[1]["gt_fields"] == ["label"]  # trained, not evaluated

    def test_trainval_of_gtavs_folders(self, tmp_path):
        for i in range(1, 9):
            save_pair(tmp_path / f"images/{i:05d}.png", tmp_path / f"labels/{i:05d}.png", seed=i)
        assert names(GTAV35([], str(tmp_path), "trainval")) == [f"{i:05d}" for i in range(1, 7)]

    @pytest.mark.parametrize("missing", ["train", "val"])
    def test_trainval_without_one_of_the_lists(self, listed, missing):
        (listed / f"{missing}.txt").unlink()
        with pytest.raises(UserError, match=f"no list of {missing}, neither {missing}_path nor .*{missing}.txt: write"):
            CamVid([], str(listed), "trainval")

    @pytest.mark.parametrize(
        "line, message",
        [
            ("train/a.png,trainannot/a.png", "line 2: 1 fields separated by ' '"),
            ("train/a.png", "line 2: 1 fields"),
            ("train/a.png trainannot/a.png extra", "line 2: 3 fields"),
        ],
    )
    def test_wrong_lines_are_named(self, listed, line, message):
        with open(listed / "train.txt", "a") as file:
            file.write(line + "\n")
        with pytest.raises(ValueError, match=f"train.txt, {message}"):
            CamVid([], str(listed))

    def test_wrong_arguments(self, listed, tmp_path_factory):
        for arguments, error, message in (
            ({"mode": "valid"}, ValueError, "mode: valid"),
            ({"dataset_root": "nowhere"}, FileNotFoundError, "dataset_root: nowhere"),
            ({"others": "drop"}, ValueError, "others: drop"),
            ({"dataset_root": str(tmp_path_factory.mktemp("empty"))}, UserError, "train_labels"),
        ):
            with pytest.raises(error, match=message):
                CamVid(**{"transforms": [], "dataset_root": str(listed), **arguments})


class TestItems:
    def test_val_and_test_are_evaluated_train_is_transformed(self, listed):
        expected = blocks(11)
        for mode in ("val", "test"):
            item = CamVid([], str(listed), mode)[0]
            assert item["img"].shape == (3, HEIGHT, WIDTH) and item["gt_fields"] == []
            np.testing.assert_array_equal(item["label"][0], expected)
        item = CamVid([], str(listed), "train", edge=True)[0]
        assert item["gt_fields"] == ["label"] and item["edge"].shape[-2:] == (HEIGHT, WIDTH)
        np.testing.assert_array_equal(item["label"], expected)

    def test_a_test_list_without_labels(self, listed):
        (listed / "test.txt").write_text("test/a.png\n")
        item = CamVid([], str(listed), "test")[0]
        assert "label" not in item and item["img"].shape == (3, HEIGHT, WIDTH)

    def test_another_size_of_the_label_is_an_error(self, listed):
        Image.fromarray(blocks(11, (HEIGHT + 1, WIDTH)).astype(np.uint8)).save(listed / "trainannot/a.png")
        with pytest.raises(UserError, match="a.png: 32x25 pixels, but its image .* 32x24"):
            CamVid([], str(listed))[0]

    def test_the_cpu_recipe_builds_and_crops(self, listed):
        from paddleseg.cvlibs.config_checker import ConfigChecker

        config = load_config(str(CONFIG), checker=ConfigChecker([]))
        for section in ("train_dataset", "val_dataset"):
            config.dic[section]["dataset_root"] = str(listed)
        builder = Builder(config)
        item = builder.train_dataset[0]
        assert item["img"].shape == (3, 240, 320) and item["label"].shape == (240, 320)
        assert set(np.unique(item["label"])) <= {*range(11), 255}
        assert abs(builder.val_dataset[0]["img"]).max() <= 1
