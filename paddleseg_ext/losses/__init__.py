import paddleseg  # noqa: F401  first: it registers every component, in whatever order they are imported

from paddleseg_ext.losses.boundary import (
    BoundaryAwareOhemCrossEntropyLoss,
    BoundaryBCELoss,
    MultiClassBoundaryLoss,
)
from paddleseg_ext.losses.encoding_bce import EncodingBCELoss

__all__ = ["BoundaryAwareOhemCrossEntropyLoss", "BoundaryBCELoss", "EncodingBCELoss", "MultiClassBoundaryLoss"]
