from paddleseg_ext.losses.boundary import (
    BoundaryAwareOhemCrossEntropyLoss,
    BoundaryBCELoss,
    EdgeLabelBCELoss,
    MultiClassBoundaryLoss,
)
from paddleseg_ext.losses.cross_entropy import AllPixelCrossEntropyLoss
from paddleseg_ext.losses.encoding_bce import EncodingBCELoss
from paddleseg_ext.losses.ohem import WeightedOhemCrossEntropyLoss

__all__ = [
    "AllPixelCrossEntropyLoss",
    "BoundaryAwareOhemCrossEntropyLoss",
    "BoundaryBCELoss",
    "EdgeLabelBCELoss",
    "EncodingBCELoss",
    "MultiClassBoundaryLoss",
    "WeightedOhemCrossEntropyLoss",
]
