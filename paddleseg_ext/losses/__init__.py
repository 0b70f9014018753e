from paddleseg_ext.losses.active_boundary import ActiveBoundaryLoss
from paddleseg_ext.losses.boundary import (
    BoundaryAwareOhemCrossEntropyLoss,
    BoundaryBCELoss,
    MultiClassBoundaryLoss,
)
from paddleseg_ext.losses.boundary_dou import BoundaryDoULoss
from paddleseg_ext.losses.encoding_bce import EncodingBCELoss

__all__ = [
    "ActiveBoundaryLoss",
    "BoundaryAwareOhemCrossEntropyLoss",
    "BoundaryBCELoss",
    "BoundaryDoULoss",
    "EncodingBCELoss",
    "MultiClassBoundaryLoss",
]
