"""EncNet, SANet and boundary losses for PaddleSeg.

Importing this package registers every component in `paddleseg.cvlibs.manager` and applies those repairs of
`paddleseg_ext.host` that ``PADDLESEG_EXT_REPAIRS`` names, by default what could not run otherwise.
"""

import zlib  # noqa: F401  before paddle: Paddle 2.6's libpaddle exports zlib's symbols (see autoload)

from paddleseg_ext import host

host.apply()

from paddleseg_ext.boundary import binary_boundary, class_boundary  # noqa: E402, F401
from paddleseg_ext.datasets import *  # noqa: E402, F403
from paddleseg_ext.layers import *  # noqa: E402, F403
from paddleseg_ext.losses import *  # noqa: E402, F403
from paddleseg_ext.models import *  # noqa: E402, F403

__version__ = "0.1.0"
