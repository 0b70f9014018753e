import paddleseg  # noqa: F401  first: it registers every component, in whatever order they are imported

from paddleseg_ext.datasets.camvid import CamVid
from paddleseg_ext.datasets.gtav import GTAV, GTAV35

__all__ = ["CamVid", "GTAV", "GTAV35"]
