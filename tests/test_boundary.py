"""Boundary maps: against a plain statement of the rule, the official recipe's, and PaddleSeg's speed."""

import cv2
import numpy as np
import paddle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from paddleseg_ext.boundary import binary_boundary, class_boundary

IGNORE = 255
label_maps = hnp.arrays(
    np.int64,
    st.tuples(st.integers(1, 2), st.integers(1, 9), st.integers(1, 9)),
    elements=st.sampled_from([0, 1, 2, IGNORE]),
)


def plain_boundary(labels, reach, ignore_index=IGNORE):
    """A pixel of the boundary has a pixel of another class at most `reach` rows and columns away; none is ignored."""
    marked = np.zeros(labels.shape, bool)
    for n, y, x in np.ndindex(*labels.shape):
        window = labels[n, max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1]
        others = (window != labels[n, y, x]) & (window != ignore_index)
        marked[n, y, x] = labels[n, y, x] != ignore_index and others.any()
    return marked


@settings(deadline=None, max_examples=60)
@given(label_maps, st.integers(1, 6))
def test_follows_the_rule(labels, width):
    found = binary_boundary(paddle.to_tensor(labels), width, IGNORE).numpy()
    np.testing.assert_array_equal(found, plain_boundary(labels, (width + 1) // 2))


@settings(deadline=None, max_examples=30)
@given(label_maps)
def test_classes_share_the_band(labels):
    labels = paddle.to_tensor(labels)
    band, classes = binary_boundary(labels, 4, IGNORE).numpy(), class_boundary(labels, 3, 4, IGNORE).numpy()
    assert classes.shape == (labels.shape[0], 3, *labels.shape[1:])
    np.testing.assert_array_equal(classes.sum(axis=1), band)
    for c in range(3):
        np.testing.assert_array_equal(classes[:, c], band & (labels.numpy() == c))


def test_band_has_the_width_and_the_frame_none():
    labels = paddle.to_tensor([[[0] * 6 + [1] * 6] * 5])
    row = binary_boundary(labels, 4).numpy()[0, 0]
    assert row.tolist() == [False] * 4 + [True] * 4 + [False] * 4
    assert not binary_boundary(paddle.zeros([1, 4, 4], "int64"), 4).any()


def test_ignored_pixels_separate_without_boundary():
    labels = paddle.to_tensor([[[0, 0, 0, IGNORE, IGNORE, IGNORE, 1, 1, 1]]])
    assert not binary_boundary(labels, 4).any()


def test_other_integer_types_give_the_same():
    labels = np.random.default_rng(0).integers(0, 3, (1, 12, 12))
    for boundary in (binary_boundary, lambda labels: class_boundary(labels, 3)):
        expected = boundary(paddle.to_tensor(labels)).numpy()
        for dtype in ("uint8", "int8", "int16", "int32"):
            np.testing.assert_array_equal(boundary(paddle.to_tensor(labels.astype(dtype))).numpy(), expected)


@pytest.mark.parametrize(
    "shape, width, message", [([4, 4], 4, r"shape \[4, 4\]; expected \(N, H, W\)"), ([1, 4, 4], 0, "width is 0")]
)
def test_wrong_arguments_are_named(shape, width, message):
    with pytest.raises(ValueError, match=message):
        binary_boundary(paddle.zeros(shape, "int64"), width)


@pytest.mark.slow
def test_agrees_with_the_official_targets_on_camvid(shared):
    """Official: Canny(0.1, 0.2) of the label map, to which void is a class, and dilation by a 4×4 square."""
    both = either = 0
    files = sorted((shared / "data" / "camvid").glob("*annot/*.png"))
    assert len(files) == 701
    for file in files:
        labels = np.array(Image.open(file))
        official = cv2.dilate(cv2.Canny(labels, 0.1, 0.2), np.ones((4, 4), np.uint8)) > 0
        ours = binary_boundary(paddle.to_tensor(labels[np.newaxis].astype(np.int64))).numpy()[0]
        both += (official & ours).sum()
        either += (official | ours).sum()
    assert both / either >= 0.85
