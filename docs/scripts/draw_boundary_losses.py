"""Draw docs/boundary_losses.jpg: what each boundary loss aims at and where its gradient is, on one synthetic crop.

    python docs/scripts/draw_boundary_losses.py

The prediction is the label map moved by a few pixels and blurred, so that every boundary is wrong by a known amount.
"""

from __future__ import annotations

from pathlib import Path

SIZE = (256, 128)  # width, height
CLASSES = 19
MOVED = (3, 5)  # pixels down and right
TARGET = Path(__file__).parents[1] / "boundary_losses.jpg"


def main() -> None:
    import matplotlib
    import numpy as np
    import paddle
    import paddle.nn.functional as F

    from paddleseg_ext import boundary
    from paddleseg_ext import losses as loss_of
    from paddleseg_ext.losses.active_boundary import MAX_DISTANCE
    from paddleseg_ext.street.scene import draw_picture

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    picture, labels = draw_picture(0, "val", 0, SIZE)
    labels = paddle.to_tensor(labels[np.newaxis].astype("int64"))
    moved = paddle.roll(labels, MOVED, axis=[1, 2])
    one_hot = (moved.unsqueeze(1) == paddle.arange(CLASSES).reshape([1, -1, 1, 1])).astype("float32")
    main_logits = 8 * F.avg_pool2d(one_hot, 5, stride=1, padding=2)
    edge_logits = 4 * boundary.binary_boundary(moved).astype("float32").unsqueeze(1) - 2
    edge_of_classes = 4 * boundary.class_boundary(moved, CLASSES).astype("float32") - 2

    def gradient(loss, logits, companion=None):
        logits = logits.clone()
        logits.stop_gradient = False
        loss(logits if companion is None else (logits, companion), labels).backward()
        return logits.grad.abs().sum(axis=1)[0].numpy()

    distance = boundary.squared_distances(boundary.changes(labels))[0].sqrt()
    band = boundary.binary_boundary(labels)
    rows = {
        "BoundaryBCELoss": (band[0], "boundary labels", gradient(loss_of.BoundaryBCELoss(), edge_logits)),
        "MultiClassBoundaryLoss": (
            paddle.where(band, labels + 1, paddle.zeros_like(labels))[0],
            "boundary labels of each class",
            gradient(loss_of.MultiClassBoundaryLoss(), edge_of_classes),
        ),
        "BoundaryAwareOhemCrossEntropyLoss": (
            F.sigmoid(edge_logits)[0, 0] > 0.8,
            "where the head sees one",
            gradient(loss_of.BoundaryAwareOhemCrossEntropyLoss(min_kept=1000), main_logits, edge_logits),
        ),
        "ActiveBoundaryLoss": (
            distance.clip(max=MAX_DISTANCE),
            "distance to the true boundary",
            gradient(loss_of.ActiveBoundaryLoss(), main_logits),
        ),
        "BoundaryDoULoss": (
            boundary.rims(labels)[0],
            "pixels that decide the weight of a class",
            gradient(loss_of.BoundaryDoULoss(), main_logits),
        ),
    }
    figure, axes = plt.subplots(len(rows) + 1, 2, figsize=(10, 2.7 * (len(rows) + 1)))
    axes[0, 0].imshow(picture[..., ::-1])
    axes[0, 0].set_title("image", fontsize=9)
    axes[0, 1].imshow(moved[0].numpy(), cmap="tab20", vmax=19)
    axes[0, 1].set_title(f"prediction: labels moved {MOVED[0]} down, {MOVED[1]} right, blurred", fontsize=9)
    for (left, right), (name, (target, what, strength)) in zip(axes[1:], rows.items()):
        left.imshow(target.astype("float32").numpy(), cmap="viridis")
        left.set_title(f"{name}: {what}", fontsize=9)
        right.imshow(strength, cmap="magma", vmax=np.quantile(strength, 0.995) or None)
        right.set_title("size of its gradient", fontsize=9)
    for axis in axes.flat:
        axis.axis("off")
    figure.tight_layout()
    figure.savefig(TARGET, dpi=80)
    print(f"Written: {TARGET}")


if __name__ == "__main__":
    main()
