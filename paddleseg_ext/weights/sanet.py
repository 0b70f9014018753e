"""The authors' SANet checkpoints (https://github.com/CuZaoo/SANet) to the parameters of `paddleseg_ext.SANet`.

Names and shapes in, names and shapes out: nothing here needs PyTorch.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from paddleseg_ext.tables import text_table

# Official names to ours: every pattern is replaced wherever it occurs, in this order.
RENAMES = (
    (r"^stom\.0\.", "backbone.stem.0._conv."),
    (r"^stom\.1\.", "backbone.stem.0._batch_norm."),
    (r"^stom\.3\.", "backbone.stem.1._conv."),
    (r"^stom\.4\.", "backbone.stem.1._batch_norm."),
    (r"^layer6\.0\.", "backbone.stage6."),
    (r"^layer([1-5])\.", r"backbone.stage\1."),
    (r"^(backbone\.stage.*)\.conv(\d)\.", r"\1.conv\2._conv."),
    (r"^(backbone\.stage.*)\.bn(\d)\.", r"\1.conv\2._batch_norm."),
    (r"\.downsample\.0\.", ".shortcut._conv."),
    (r"\.downsample\.1\.", ".shortcut._batch_norm."),
    (r"^dp([12])\.hconv\.", r"backbone.spatial\1.widen."),
    (r"^dp([12])\.conv\.(\d+)\.0\.", r"backbone.spatial\1.\2._conv."),
    (r"^dp([12])\.conv\.(\d+)\.1\.", r"backbone.spatial\1.\2._batch_norm."),
    (r"^down4\.0\.", "backbone.down4._conv."),
    (r"^down4\.1\.", "backbone.down4._batch_norm."),
    (r"^down5\.0\.", "backbone.down5.0._conv."),
    (r"^down5\.1\.", "backbone.down5.0._batch_norm."),
    (r"^down5\.3\.", "backbone.down5.1._conv."),
    (r"^down5\.4\.", "backbone.down5.1._batch_norm."),
    (r"^compression\.0\.", "backbone.up5._conv."),
    (r"^compression\.1\.", "backbone.up5._batch_norm."),
    (r"^spp\.scale0\.", "context.point."),
    (r"^spp\.scale4\.1\.", "context.whole.1.0."),
    (r"^spp\.scale4\.3\.", "context.whole.1.2."),
    (r"^spp\.scale([123])\.1\.", r"context.branch\1.1.0."),
    (r"^spp\.scale([123])\.3\.", r"context.branch\1.1.2."),
    (r"^spp\.scale([123])\1\.1\.", r"context.branch\1.3.0."),
    (r"^spp\.scale([123])\1\.3\.", r"context.branch\1.3.2."),
    (r"^spp\.(compression|shortcut)\.", r"context.\1."),
    (r"^spp\.atten\.conv3\.", "context.fusion.weight_conv."),
    (r"^decoder\.conv_H\.", "decoder.row_conv."),
    (r"^decoder\.conv_W\.", "decoder.column_conv."),
    (r"^decoder\.conv_out\.", "decoder.out_conv."),
    (r"^final_layer\.", "main_head."),
    (r"^seghead_extra\.", "aux_head."),
    (r"^seghead_d\.", "boundary_head."),
    (r"_head\.bn1\.", "_head.0.0."),
    (r"_head\.conv1\.", "_head.0.2."),
    (r"_head\.bn2\.", "_head.1.0."),
    (r"_head\.conv2\.", "_head.1.2."),
    (r"\.running_mean$", "._mean"),
    (r"\.running_var$", "._variance"),
)

# In the published files, but no part of segmentation: leftovers of ideas, of ImageNet training and of the losses.
UNUSED = re.compile(r"^(spp\.process\d|seghead_d2|fc|classifier|sem_loss|bd_loss)\.")

# Blocks of stages 1, 2, 4 and 5.
VARIANTS: dict[tuple[int, ...], str] = {(2, 2, 2, 2): "SANet-S", (3, 3, 9, 3): "SANet-M", (3, 3, 27, 3): "SANet-L"}

# The last layers of the main and the auxiliary head, a row for each class: the authors' code builds `OFFICIAL_ROWS`
# whatever the data set, and trains the first ones where there are fewer classes.
CLASSIFIERS = re.compile(r"^(main|aux)_head\.1\.2\.")
OFFICIAL_ROWS = 19
CAMVID_CLASSES = (
    *("Bicyclist", "Building", "Car", "Pole", "Fence", "Pedestrian", "Road", "Sidewalk"),
    *("SignSymbol", "Sky", "Tree"),
)

PARTS = {"backbone", "context", "decoder", "main_head", "aux_head", "boundary_head"}
COLUMNS = ("matched", "missing", "left over", "wrong shape")


def paddle_name(official: str) -> str:
    """``stom.1.running_mean`` to ``backbone.stem.0._batch_norm._mean``."""
    for pattern, replacement in RENAMES:
        official = re.sub(pattern, replacement, official)
    return official


def variant(names: Collection[str]) -> str:
    """Which SANet has parameters of these names (ours), by its numbers of blocks."""
    blocks = tuple(
        len({m[1] for m in (re.match(rf"backbone\.stage{stage}\.(\d+)\.", name) for name in names) if m})
        for stage in (1, 2, 4, 5)
    )
    if not any(blocks):
        return "no SANet"
    return VARIANTS.get(blocks, f"a SANet with {blocks} blocks")


@dataclass
class Coverage:
    """What of a network a checkpoint covers; a problem is one line about one parameter."""

    source: str  # variant of the checkpoint
    target: str  # variant of the network
    parts: dict[str, Counter] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    unused: Counter = field(default_factory=Counter)  # entries of the file that segmentation does not use
    classes: tuple[int, int] | None = None  # of the file and of the network, where they do not fit

    def add(self, name: str, column: str, note: str = "") -> None:
        part, *others = name.split(".")
        if part == "backbone":
            part = f"encoder {others[0]}"  # a stage of it
        self.parts.setdefault(part, Counter())[column] += 1
        if column != "matched":
            self.problems.append(f"{column}: {name} {note}".rstrip())

    @property
    def complete(self) -> bool:
        return not self.problems

    def table(self) -> str:
        table = text_table(
            ["part", *COLUMNS], [[part, *(c[name] for name in COLUMNS)] for part, c in self.parts.items()]
        )
        unused = ", ".join(f"{name} ({count})" for name, count in self.unused.items())
        return f"{table}\nnot used by segmentation: {unused or 'nothing'}"


def camvid_rows(classes: Sequence[str]) -> list[int]:
    """The row of the authors' classifiers for each of CamVid's classes, in the order of `classes`."""
    return [CAMVID_CLASSES.index(name) for name in classes]


def convert(
    official: dict[str, np.ndarray], shapes: dict[str, list[int]], rows: Sequence[int] | None = None
) -> tuple[dict[str, np.ndarray], Coverage]:
    """Renames a checkpoint's entries and compares them with a network's.

    Classifiers of `OFFICIAL_ROWS` rows fit a network of fewer classes: its classes are the first rows.

    Args:
        official: names and values, without any ``model.`` before the names.
        shapes: our names and shapes, of the whole network or of some of its parts; other parts are passed over.
        rows: the row of the classifiers for each class; None leaves them as they are.

    Returns:
        Our names and values, of all that match in name and shape; and what they cover.
    """
    renamed: dict[str, np.ndarray] = {}
    unused: Counter[str] = Counter()
    for name, value in official.items():
        if name.endswith("num_batches_tracked"):
            continue  # PyTorch's bookkeeping
        if match := UNUSED.match(name):
            unused[match[1]] += 1
        else:
            renamed[paddle_name(name)] = value
    coverage = Coverage(variant(renamed), variant(shapes), unused=unused)
    matched = {}
    for name, shape in shapes.items():
        if name not in renamed:
            coverage.add(name, "missing")
            continue
        value = renamed[name]
        if CLASSIFIERS.match(name):
            value = _rows_of_classes(value, shape[0], rows)
            if value.shape[:1] != (shape[0],):
                coverage.classes = len(value), shape[0]
        if list(value.shape) != list(shape):
            coverage.add(name, "wrong shape", f"is {list(value.shape)}, needed {list(shape)}")
        else:
            matched[name] = value
            coverage.add(name, "matched")
    passed_over = PARTS - {name.split(".")[0] for name in shapes}
    for name in renamed:
        if name not in shapes and name.split(".")[0] not in passed_over:
            coverage.add(name, "left over")
    return matched, coverage


def _rows_of_classes(classifier: np.ndarray, num_classes: int, rows: Sequence[int] | None) -> np.ndarray:
    """The rows of `num_classes` classes, in the order of `rows`; all as they are where their number fits neither."""
    if len(classifier) not in (num_classes, max(num_classes, OFFICIAL_ROWS)):
        return classifier
    return classifier[list(range(num_classes) if rows is None else rows)]
