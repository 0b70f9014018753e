"""Does the changed network still compute the same? Largest logit difference and label agreement."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

RELATIVE_TOLERANCE = 1e-4
LABEL_TOLERANCE = 0.9999


@dataclass
class Comparison:
    """The comparison of two networks over some images.

    Attributes:
        what: which was compared with which.
        sizes: "height x width" of each image.
        max_difference: largest absolute difference of outputs; None where the outputs are labels.
        relative_difference: the same over the largest absolute reference output.
        label_agreement: share of pixels with the same label.
        ties: share of pixels with another label that the reference scores equally high, within the tolerance. A network
            after a few iterations has many of them.
    """

    what: str
    sizes: list[str]
    max_difference: float | None
    relative_difference: float | None
    label_agreement: float
    ties: float

    @property
    def passed(self) -> bool:
        close = self.relative_difference is None or self.relative_difference <= RELATIVE_TOLERANCE
        return close and self.label_agreement + self.ties >= LABEL_TOLERANCE

    def __str__(self):
        text = f"{self.what}: labels {self.label_agreement:.4%} equal"
        if self.ties:
            text += f" ({self.ties:.4%} ties)"
        if self.max_difference is not None:
            text += f", largest difference {self.max_difference:.3g} ({self.relative_difference:.2g} relative)"
        return f"{text}, on {len(self.sizes)} images of {', '.join(dict.fromkeys(self.sizes))}"


def compare(
    what: str,
    references: Iterable[np.ndarray],
    network: Callable[[np.ndarray], np.ndarray],
    pictures: Iterable[np.ndarray],
) -> Comparison:
    """Run `network` on every image (N, C, H, W).

    Args:
        references: scores (N, K, H, W).
        network: returns scores (N, K, H, W), or labels (N, H, W).
    """
    sizes, difference, largest, equal, ties, pixels = [], 0.0, 0.0, 0, 0, 0
    gives_labels = False
    for expected, picture in zip(references, pictures):
        found = network(picture)
        gives_labels = found.ndim == 3
        if found.shape != ((len(expected), *expected.shape[2:]) if gives_labels else expected.shape):
            raise ValueError(f"{what}: shape {found.shape}, expected {expected.shape}")
        if not gives_labels:
            # a NaN anywhere must not pass for agreement: max() of the builtin would drop it
            difference = np.maximum(difference, np.abs(expected - found).max())
            found = found.argmax(1)
        height = np.abs(expected).max()
        largest = max(largest, height)
        best = expected.max(1)
        lost = best - np.take_along_axis(expected, found[:, None].astype(np.int64), axis=1)[:, 0]
        same = found == expected.argmax(1)
        equal += int(same.sum())
        ties += int((~same & (lost <= RELATIVE_TOLERANCE * height)).sum())
        pixels += same.size
        sizes.append("x".join(str(side) for side in picture.shape[2:]))
    return Comparison(
        what,
        sizes,
        None if gives_labels else float(difference),
        None if gives_labels else float(difference / (largest or 1)),
        equal / pixels,
        ties / pixels,
    )
