import paddleseg  # noqa: F401  first: it registers every component, in whatever order they are imported

from paddleseg_ext.layers.attention import BiAttentionFusion, SimpleAttentionDecoder
from paddleseg_ext.layers.encoding import EncModule, Encoding
from paddleseg_ext.layers.pyramid_pooling import APPPM, DAPPM, SPPFTAB, SlimDAPPM, SPPFTABAdd

__all__ = [
    "APPPM",
    "BiAttentionFusion",
    "DAPPM",
    "EncModule",
    "Encoding",
    "SPPFTAB",
    "SPPFTABAdd",
    "SimpleAttentionDecoder",
    "SlimDAPPM",
]
