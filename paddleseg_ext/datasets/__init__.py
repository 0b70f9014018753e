from paddleseg_ext.datasets.camvid import CamVid
from paddleseg_ext.datasets.gtav import GTAV, GTAV35

__all__ = ["CamVid", "GTAV", "GTAV35"]
