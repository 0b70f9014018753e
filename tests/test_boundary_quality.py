import csv
import json

import numpy as np
import paddle
import pytest
from paddleseg.utils import metrics
from scipy import ndimage

from paddleseg_ext.analysis.boundary_quality import (
    BoundaryQuality,
    evaluate_boundaries,
    report_table,
    write_report,
)

K = 4
WIDTHS = (1, 2, 3, 5)
NAMES = ("road", "car", "sky", "bus")


def blobs(seed, shape=(2, 40, 56), classes=K, ignored=0.0):
    """Smooth random classes, some of them ignored."""
    rng = np.random.default_rng(seed)
    smooth = [ndimage.gaussian_filter(rng.standard_normal(shape), (0, 4, 4)) for _ in range(classes)]
    label = np.argmax(smooth, axis=0)
    label[ndimage.gaussian_filter(rng.random(shape), (0, 2, 2)) > 1 - ignored] = 255
    return label


def measured(pred, label, widths=WIDTHS, num_classes=K):
    quality = BoundaryQuality(num_classes, widths)
    quality.update(paddle.to_tensor(pred), paddle.to_tensor(label))
    return quality.iou(), quality.f_score()


def stated(preds, labels, widths=WIDTHS, num_classes=K):
    """Both scores as the papers state them, with SciPy's erosion and exact distance transform."""
    iou, f_score = np.full((2, len(widths), num_classes), np.nan)
    for row, width in enumerate(widths):
        for c in range(num_classes):
            both = either = near_pred = near_label = pred_pixels = label_pixels = 0
            for pred, label in zip(preds, labels):
                valid = label != 255

                def inner(mask, depth, valid=valid):
                    # what an erosion takes away; neither ignored pixels nor the frame erode
                    square = np.ones((2 * depth + 1, 2 * depth + 1))
                    return mask & ~ndimage.binary_erosion(mask | ~valid, square, border_value=1)

                masks = [(pred == c) & valid, label == c]
                a, b = (inner(mask, width) for mask in masks)
                both, either = both + (a & b).sum(), either + (a | b).sum()
                a, b = (inner(mask, 1) for mask in masks)
                pred_pixels, label_pixels = pred_pixels + a.sum(), label_pixels + b.sum()
                if a.any() and b.any():
                    near_pred += (ndimage.distance_transform_edt(~b)[a] <= width).sum()
                    near_label += (ndimage.distance_transform_edt(~a)[b] <= width).sum()
            if either:
                iou[row, c] = both / either
            if pred_pixels + label_pixels:
                precision, recall = near_pred / max(pred_pixels, 1), near_label / max(label_pixels, 1)
                f_score[row, c] = 2 * precision * recall / (precision + recall) if precision + recall else 0
    return iou, f_score


@pytest.mark.parametrize("ignored", [0.0, 0.45])
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_plain_statement(seed, ignored):
    label = blobs(seed, ignored=ignored)
    pred = np.where(np.random.default_rng(seed).random(label.shape) < 0.02, 0, np.roll(blobs(seed), (1, 2), (1, 2)))
    assert (label == 255).any() == (ignored > 0)
    for ours, plain in zip(measured(pred, label), stated(pred, label)):
        np.testing.assert_allclose(ours, plain, rtol=0, atol=1e-6)


def test_a_perfect_prediction_scores_one():
    label = blobs(0, ignored=0.45)
    pred = np.where(label == 255, 2, label)
    for scores in measured(pred, label):
        np.testing.assert_array_equal(scores, 1)


def test_by_hand():
    """A vertical edge, predicted one pixel too far to the right, in an image of 4 rows and 10 columns."""
    label = np.repeat(np.arange(10)[None, None] >= 4, 4, axis=1).astype("int64")
    pred = np.roll(label, 1, axis=2)
    pred[..., 0] = 0
    iou, f_score = measured(pred, label, widths=(1, 2), num_classes=2)
    # columns within 1 pixel of the edge: 3 | 4 in the label, 4 | 5 in the prediction; within 2: 2 3 | 4 5 and 3 4 | 5 6
    np.testing.assert_allclose(iou, [[0, 0], [1 / 3, 1 / 3]])
    np.testing.assert_allclose(f_score, [[1, 1], [1, 1]])
    _, too_far = measured(np.roll(pred, 1, axis=2) * (np.arange(10) > 1), label, widths=(1,), num_classes=2)
    np.testing.assert_allclose(too_far, [[0, 0]])


def test_what_is_predicted_on_ignored_pixels_does_not_count():
    label = blobs(1, ignored=0.45)
    pred, other = blobs(2), blobs(2)
    other[label == 255] = 3
    for a, b in zip(measured(pred, label), measured(other, label)):
        np.testing.assert_array_equal(a, b)


def test_absent_classes_have_no_score_and_invented_ones_score_zero():
    label = np.zeros((1, 12, 12), "int64")
    label[:, :, 6:] = 1
    pred = label.copy()
    pred[:, :6, :6] = 2
    iou, f_score = measured(pred, label)
    for scores in (iou, f_score):
        assert np.isnan(scores[:, 3]).all()
        assert (scores[:, 2] == 0).all()
        assert (scores[:, 1] > 0).all()
    for scores in measured(np.zeros_like(label), np.full_like(label, 255)):
        assert np.isnan(scores).all()


def test_accumulates_over_a_data_set():
    pred, label = blobs(0, (6, 30, 30)), blobs(5, (6, 30, 30), ignored=0.4)
    quality = BoundaryQuality(K, WIDTHS)
    for i in range(6):
        quality.update(paddle.to_tensor(pred[i : i + 1, None], dtype="int32"), paddle.to_tensor(label[i : i + 1]))
    for a, b in zip((quality.iou(), quality.f_score()), measured(pred, label)):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("widths", [(), (0,), (1.5,)])
def test_wrong_widths_are_quoted(widths):
    with pytest.raises(ValueError, match="whole numbers of pixels"):
        BoundaryQuality(K, widths)


class Pictures(paddle.io.Dataset):
    """Images whose channels are the logits, and their labels, as PaddleSeg's data sets return them."""

    num_classes, ignore_index = K, 255

    def __init__(self, preds, labels):
        self.preds, self.labels = preds, labels

    def __len__(self):
        return len(self.preds)

    def __getitem__(self, index):
        logits = (self.preds[index] == np.arange(K)[:, None, None]).astype("float32")
        return {"img": logits, "label": self.labels[index][None], "trans_info": []}


class Identity(paddle.nn.Layer):
    def forward(self, x):
        return [x]


@pytest.fixture(scope="module")
def pictures():
    label = blobs(3, (3, 32, 48), classes=3, ignored=0.45)
    return Pictures(np.roll(blobs(3, (3, 32, 48), classes=3), 1, axis=2), label)


def test_evaluation_reports_paddlesegs_scores_beside_those_of_boundaries(pictures):
    from paddleseg.core import evaluate

    original = metrics.calculate_area
    miou, acc, class_iou, _, kappa = evaluate(Identity(), pictures, print_detail=False)
    report = evaluate_boundaries(Identity(), pictures, NAMES, (1, 3), print_detail=False)
    assert metrics.calculate_area is original
    assert (report["mIoU"], report["Acc"], report["Kappa"]) == (miou, acc, kappa)
    iou, f_score = measured(pictures.preds, pictures.labels, (1, 3))
    for c, name in enumerate(NAMES[:3]):
        scores = report["classes"][name]
        assert scores["iou"] == class_iou[c]
        assert list(scores["boundary_iou"].values()) == iou[:, c].tolist()
        assert list(scores["boundary_f_score"].values()) == f_score[:, c].tolist()
    assert report["mean"]["boundary_iou"]["3"] == pytest.approx(iou[1, :3].mean())
    assert report["mean"]["boundary_f_score"]["1"] == pytest.approx(f_score[0, :3].mean())


def test_the_watch_ends_when_the_evaluation_fails(pictures):
    original = metrics.calculate_area
    with pytest.raises(TypeError):
        evaluate_boundaries(lambda x: x, pictures, NAMES, no_such_setting=1)
    assert metrics.calculate_area is original


def test_reports_are_written(pictures, tmp_path):
    report = evaluate_boundaries(Identity(), pictures, NAMES, (1, 3), print_detail=False)
    json_path, csv_path = write_report(report, str(tmp_path / "new" / "folder"))
    with open(json_path) as file:
        written = json.load(file)
    assert written["classes"]["bus"]["boundary_iou"] == {"1": None, "3": None}
    assert written["mean"] == report["mean"]
    with open(csv_path, newline="") as file:
        rows = list(csv.reader(file))
    header, of_classes = report_table(report)
    assert rows == [header, *of_classes]
    assert rows[0] == [
        "class",
        "iou",
        "boundary_iou_1px",
        "boundary_iou_3px",
        "boundary_f_score_1px",
        "boundary_f_score_3px",
    ]
    assert [row[0] for row in rows[1:]] == [*NAMES, "mean"]
    assert rows[4][2:] == ["-"] * 4
