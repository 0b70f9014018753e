import base64
from dataclasses import replace
from html.parser import HTMLParser

import cv2
import numpy as np
import paddle
import pytest
from browser_support import assert_fits, at_both_widths, browse, count_colours, needs_chromium
from deploy_support import network
from paddleseg.core import evaluate
from picture_support import NUM_CLASSES, SANET, run_tool, write_config, write_dataset

from paddleseg_ext.analysis import report as report_module
from paddleseg_ext.analysis.pictures import Picture
from paddleseg_ext.analysis.report import Scores, confusion_matrix, drawing, photo
from paddleseg_ext.builder import Builder, load_config
from paddleseg_ext.command import UserError
from paddleseg_ext.datasets.description import Classes


class Page(HTMLParser):
    """The texts, the addresses and the images (alt, src) of a page, and whether its tags are balanced."""

    VOID = {"meta", "img"}

    def __init__(self, text):
        super().__init__()
        self.open, self.texts, self.images, self.links = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "img":
            self.images.append((attributes["alt"], attributes.get("src")))
        self.links += [value for key, value in attributes.items() if key in ("href", "src")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data.strip())


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    write_dataset(folder, count=4)
    flags = {"config": write_config(folder, **SANET), "image_path": folder / "val.txt", "save_dir": folder / "out"}
    assert run_tool("report", num_images=3, title="A <title> & more", **flags) == 0
    return folder / "out/report.html"


def test_page_is_whole_and_self_contained(report):
    page = Page(report.read_text(encoding="utf-8"))
    assert page.open == []
    assert page.links and all(link.startswith("data:image/") for link in page.links)
    assert "A <title> & more" in page.texts
    captions = [caption for caption, _ in page.images if caption]
    for caption in ("image", "label", "prediction", "errors", "boundary of the label", "predicted boundary"):
        assert captions.count(caption) == 3
    assert len(captions) > 6 * 3  # heat maps
    assert any(text.startswith("The network was given no weights") for text in page.texts)
    assert {"paddleseg_ext", "PaddlePaddle", "PaddleSeg"} <= set(page.texts)
    assert any("SANetEncoder" in text for text in page.texts)


def test_page_shows_the_worst_first(report):
    texts = Page(report.read_text(encoding="utf-8")).texts
    scores = [float(text.split()[-2]) for text in texts if text.startswith("mean IoU ")]
    assert len(scores) == 3 and scores == sorted(scores)


@needs_chromium
@at_both_widths
def test_page_renders_in_a_browser(report, width):
    html, shot = browse(report.as_uri(), width)
    assert "Images, worst first" in html
    assert_fits(shot)
    assert count_colours(shot) > 500  # photographs, not an empty page


def test_pictures_without_labels_come_with_their_probability(tmp_path):
    write_dataset(tmp_path, count=2)
    flags = {"config": write_config(tmp_path), "image_path": tmp_path / "images", "save_dir": tmp_path / "out"}
    assert run_tool("report", **flags) == 0
    page = Page((tmp_path / "out/report.html").read_text(encoding="utf-8"))
    assert sum(text.startswith("mean probability ") for text in page.texts) == 2
    assert "Confusion" not in page.texts and "label" not in [caption for caption, _ in page.images]


def test_the_rest_is_shown_where_heat_maps_fail(tmp_path, monkeypatch):
    write_dataset(tmp_path, count=1)

    def fail(*args):
        raise RuntimeError("no gradient of this operator")

    monkeypatch.setattr(report_module, "grad_cam", fail)
    assert run_tool("report", config=write_config(tmp_path), save_dir=tmp_path / "out") == 0  # of the validation set
    page = Page((tmp_path / "out/report.html").read_text(encoding="utf-8"))
    assert "No heat maps: no gradient of this operator" in page.texts
    assert "errors" in [caption for caption, _ in page.images]


def test_errors_are_coloured_by_kind():
    label = np.zeros((20, 40), np.uint8)
    label[:, 20:] = 1
    label[0] = 255
    predicted = np.where(label == 255, 0, label)
    predicted[10, 22] = 0  # three pixels from the boundary
    predicted[10, 35] = 2
    classes = Classes(tuple("abc"), np.zeros((256, 3), np.uint8), 255)
    drawn = report_module.error_map(np.full((20, 40, 3), 80, np.uint8), predicted, label, classes)[..., ::-1]
    near, elsewhere = report_module.ERRORS.values()
    assert tuple(drawn[10, 22]) == near and tuple(drawn[10, 35]) == elsewhere
    assert (drawn[0] == 255).all() and tuple(drawn[10, 5]) == (150, 150, 150)
    ignoring = replace(classes, ignore_index=0)
    drawn = report_module.error_map(np.full((20, 40, 3), 80, np.uint8), np.ones_like(label), label, ignoring)
    assert (drawn[:, :20] == 255).all() and (drawn[1:, 20:] == 150).all()


def test_unreadable_pictures_are_told(tmp_path, capsys):
    write_dataset(tmp_path, count=1)
    (tmp_path / "images/broken.png").write_bytes(b"nothing")
    flags = {"config": write_config(tmp_path), "save_dir": tmp_path / "out"}
    assert run_tool("report", image_path=tmp_path / "images", **flags) == 1
    assert "broken.png: not a readable image" in capsys.readouterr().err
    assert (tmp_path / "out/report.html").is_file()
    with pytest.raises(UserError, match="none of the images could be read"):
        run_tool("report", image_path=tmp_path / "images/broken.png", **flags)
    with pytest.raises(UserError, match="--num_images -1: give"):
        run_tool("report", num_images=-1, **flags)


def test_scores_by_hand():
    label = np.array([[0, 0, 1, 1], [0, 0, 255, 2]], np.uint8)
    predicted = np.array([[0, 1, 1, 1], [0, 0, 0, 0]])
    classes = Classes(tuple("abcd"), np.zeros((256, 3), np.uint8), 255)
    confusion = confusion_matrix(predicted, label, classes)
    assert confusion.tolist() == [[3, 1, 0, 0], [0, 2, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert confusion_matrix(predicted, label, replace(classes, ignore_index=2)).sum() == 6

    scores = Scores(classes)
    logits = paddle.to_tensor(20 * np.eye(NUM_CLASSES, dtype="float32")[predicted].transpose(2, 0, 1)[None])
    scores.add(Picture("1.png", "1"), logits, None)
    scores.add(Picture("2.png", "2", "label.png"), logits, label)
    assert scores.confusion.tolist() == confusion.tolist()
    assert [(score.picture.name, score.labelled) for score in scores.worst(5)] == [("2", True), ("1", False)]
    assert scores.worst(1)[0].value == pytest.approx((3 / 5 + 2 / 3) / 3)  # d is not in it
    assert scores.worst(2)[1].value == pytest.approx(1)


@pytest.mark.parametrize("test_config", [{}, {"aug_eval": True, "scales": 0.25}])
def test_the_mean_is_that_of_val_and_absent_classes_are_named(tmp_path, test_config):
    folder = write_dataset(tmp_path, count=2)
    for path in (folder / "labels").iterdir():
        cv2.imwrite(str(path), np.minimum(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), 2))  # without class 3
    config, model = write_config(folder, type="FoldingCases"), network()
    dataset = Builder(load_config(str(config))).val_dataset
    means = model(paddle.to_tensor(dataset[0]["img"][None]))[0].mean((0, 2, 3))
    model.conv_out.bias.set_value(paddle.to_tensor([0.0, 0, 0, -100]) - means)  # class 3 is not predicted either
    paddle.save(model.state_dict(), str(folder / "weights.pdparams"))
    miou, accuracy, *_ = evaluate(model, dataset, print_detail=False, **test_config)
    flags = {"config": config, "model_path": folder / "weights.pdparams", "save_dir": tmp_path / "out"}
    flags["opts"] = f"test_config={test_config}"
    assert run_tool("report", **flags) == 0
    texts = Page((tmp_path / "out/report.html").read_text(encoding="utf-8")).texts
    for name, value in (("mean IoU", miou), ("pixels right", accuracy)):
        assert float(texts[texts.index(name) - 1].split()[0]) == pytest.approx(100 * value, abs=0.02)
    assert any(text.startswith("In no label: class 3. ") for text in texts)


def test_large_pictures_are_made_smaller():
    image = np.random.default_rng(0).integers(0, 256, (300, 1000, 3)).astype(np.uint8)
    for shown in (photo("a", image), drawing("b", image)):
        encoded = np.frombuffer(base64.b64decode(shown.uri.split(",")[1]), np.uint8)
        assert cv2.imdecode(encoded, cv2.IMREAD_COLOR).shape == (288, 960, 3)
