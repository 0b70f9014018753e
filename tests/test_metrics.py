"""The areas that evaluation counts."""

import numpy as np
import paddle
import pytest

from paddleseg_ext.metrics import calculate_area

CASES = {
    "2 classes": (2, 255, (0, 2)),
    "19 classes": (19, 255, (0, 19)),
    "predictions and labels out of range": (5, 255, (-3, 9)),
    "an ignored class in range": (4, 1, (0, 4)),
    "everything ignored": (3, 255, (255, 256)),
    "many classes": (300, 255, (0, 300)),
}


@pytest.mark.parametrize("num_classes, ignore_index, values", CASES.values(), ids=CASES)
@pytest.mark.parametrize("with_axis", [False, True])
def test_counts_are_those_of_a_loop_over_the_classes(num_classes, ignore_index, values, with_axis):
    rng = np.random.default_rng(num_classes)
    shape = (2, 1, 17, 23) if with_axis else (2, 17, 23)
    pred, label = (rng.integers(*values, shape) for _ in range(2))
    label[rng.random(shape) < 0.2] = ignore_index
    found = calculate_area(
        paddle.to_tensor(pred.astype("int32")), paddle.to_tensor(label.astype("int64")), num_classes, ignore_index
    )
    counted = label != ignore_index
    expected = [
        [np.sum((pred == c) & (label == c) & counted) for c in range(num_classes)],
        [np.sum((pred == c) & counted) for c in range(num_classes)],
        [np.sum(label == c) for c in range(num_classes)],
    ]
    for area, by_hand in zip(found, expected):
        assert area.dtype == paddle.int64 and area.numpy().tolist() == by_hand


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"have \[1, 2, 3\] and \[1, 3, 2\]"):
        calculate_area(paddle.zeros([1, 2, 3], "int64"), paddle.zeros([1, 3, 2], "int64"), 2)
