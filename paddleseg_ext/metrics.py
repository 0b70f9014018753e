"""What evaluation counts, in three passes over the pixels."""

from __future__ import annotations

import paddle


def calculate_area(
    pred: paddle.Tensor, label: paddle.Tensor, num_classes: int, ignore_index: int = 255
) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
    """The pixels of each class: right ones, predicted ones, labelled ones.

    The counts are those of PaddleSeg's `calculate_area`, which passes over the pixels three times for each class. Here
    three histograms count all classes, on the device and without waiting for it.

    Args:
        pred: predicted classes, integers (N, H, W) or (N, 1, H, W).
        label: their labels, integers of the same shape.
        num_classes: K.
        ignore_index: the label of pixels that do not count. Other values outside of 0 to K - 1 belong to no class; the
            label of such a prediction counts, and so does the prediction for such a label.

    Returns:
        intersection, prediction and label areas, each int64 (K,).

    Raises:
        ValueError: the shapes differ.
    """
    pred, label = (x.squeeze(1) if x.ndim == 4 else x for x in (pred, label))
    if pred.shape != label.shape:
        raise ValueError(
            f"pred and label should have the same shape, but have {list(pred.shape)} and {list(label.shape)}"
        )
    pred, label = pred.astype("int32"), label.astype("int32")
    counted = label != ignore_index
    right = (pred == label) & counted

    def areas(classes: paddle.Tensor) -> paddle.Tensor:
        # a bin is one wide; values outside, like the -1 of pixels that do not count, are in none
        return paddle.histogram(classes, bins=num_classes + 1, min=0, max=num_classes + 1)[:num_classes]

    def only(classes: paddle.Tensor, where: paddle.Tensor) -> paddle.Tensor:
        return (classes + 1) * where.astype("int32") - 1

    return areas(only(label, right)), areas(only(pred, counted)), areas(label)
