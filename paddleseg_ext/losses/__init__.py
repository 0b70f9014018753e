from paddleseg_ext.losses.boundary import (
    BoundaryAwareOhemCrossEntropyLoss,
    BoundaryBCELoss,
    MultiClassBoundaryLoss,
)
from paddleseg_ext.losses.encoding_bce import EncodingBCELoss

__all__ = ["BoundaryAwareOhemCrossEntropyLoss", "BoundaryBCELoss", "EncodingBCELoss", "MultiClassBoundaryLoss"]
