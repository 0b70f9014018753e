import paddleseg  # noqa: F401  first: it registers every component, in whatever order they are imported

from paddleseg_ext.models.encnet import EncNet
from paddleseg_ext.models.sanet import SANet
from paddleseg_ext.models.sanet_encoder import SANetEncoder, SANetEncoder_L, SANetEncoder_M, SANetEncoder_S

__all__ = ["EncNet", "SANet", "SANetEncoder", "SANetEncoder_L", "SANetEncoder_M", "SANetEncoder_S"]
