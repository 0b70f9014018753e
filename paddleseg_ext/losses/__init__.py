import paddleseg  # noqa: F401  first: it registers every component, in whatever order they are imported

from paddleseg_ext.losses.active_boundary import ActiveBoundaryLoss
from paddleseg_ext.losses.boundary import (
    BoundaryAwareOhemCrossEntropyLoss,
    BoundaryBCELoss,
    EdgeLabelBCELoss,
    MultiClassBoundaryLoss,
)
from paddleseg_ext.losses.boundary_dou import BoundaryDoULoss
from paddleseg_ext.losses.cross_entropy import AllPixelCrossEntropyLoss
from paddleseg_ext.losses.encoding_bce import EncodingBCELoss
from paddleseg_ext.losses.ohem import WeightedOhemCrossEntropyLoss

__all__ = [
    "ActiveBoundaryLoss",
    "AllPixelCrossEntropyLoss",
    "BoundaryAwareOhemCrossEntropyLoss",
    "BoundaryBCELoss",
    "BoundaryDoULoss",
    "EdgeLabelBCELoss",
    "EncodingBCELoss",
    "MultiClassBoundaryLoss",
    "WeightedOhemCrossEntropyLoss",
]
