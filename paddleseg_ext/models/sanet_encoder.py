"""The encoder of SANet (https://arxiv.org/abs/2309.10519): a semantic path to 1/64 and a dilated spatial path at 1/8.

P is `base_channels`. Every stage of residual blocks leaves out its last ReLU; whatever uses its output applies one.
"""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.nn.functional as F
from paddle import nn
from paddleseg.cvlibs import manager
from paddleseg.models import layers
from paddleseg.utils import utils

from paddleseg_ext.layers.basic import init_convolutions, resize_to


@manager.BACKBONES.add_component
class SANetEncoder(nn.Layer):
    """SANet's encoder with free depth and width; `SANetEncoder_S`, `_M` and `_L` are the published ones.

    Args:
        num_blocks: residual blocks of stage 1, of stages 2 and 3 each, of stage 4 and of stage 5.
        dilations1: dilations of the first dilated spatial path, one 3×3 convolution each.
        dilations2: those of the second.
        base_channels: P.
        in_channels: channels of the image.
        pretrained: path or address of a `.pdparams` file.

    Raises:
        ValueError: not four numbers of blocks, or a path without dilations.
    """

    def __init__(
        self,
        num_blocks: Sequence[int] = (2, 2, 2, 2),
        dilations1: Sequence[int] = (1, 2, 5),
        dilations2: Sequence[int] = (7, 13),
        base_channels: int = 32,
        in_channels: int = 3,
        pretrained: str | None = None,
    ):
        super().__init__()
        if len(num_blocks) != 4 or min(num_blocks) < 1:
            raise ValueError(
                f"num_blocks is {list(num_blocks)}; expected four positive numbers: "
                "stage 1, stages 2 and 3, stage 4, stage 5"
            )
        if not dilations1 or not dilations2:
            raise ValueError(f"dilations1 is {list(dilations1)}, dilations2 {list(dilations2)}; each needs one or more")
        width = base_channels
        self.feat_channels = [4 * width, 4 * width, 4 * width, 4 * width, 16 * width]

        self.stem = nn.Sequential(
            layers.ConvBNReLU(in_channels, width, 3, stride=2, padding=1),
            layers.ConvBNReLU(width, width, 3, stride=2, padding=1),
        )
        self.stage1 = residual_stage(width, width, num_blocks[0], stride=1)
        self.stage2 = residual_stage(width, 2 * width, num_blocks[1], stride=2)
        self.stage3 = residual_stage(2 * width, 4 * width, num_blocks[1], stride=1)
        self.stage4 = residual_stage(2 * width, 4 * width, num_blocks[2], stride=2)
        self.stage5 = residual_stage(4 * width, 8 * width, num_blocks[3], stride=2)
        self.stage6 = Bottleneck(8 * width, 16 * width)

        self.spatial1 = dilated_path(2 * width, 4 * width, dilations1)
        self.spatial2 = dilated_path(4 * width, 4 * width, dilations2)

        self.down4 = layers.ConvBN(4 * width, 4 * width, 3, stride=2, padding=1, bias_attr=False)
        self.down5 = nn.Sequential(
            layers.ConvBNReLU(4 * width, 4 * width, 3, stride=2, padding=1, bias_attr=False),
            layers.ConvBN(4 * width, 8 * width, 3, stride=2, padding=1, bias_attr=False),
        )
        self.up5 = layers.ConvBN(8 * width, 4 * width, 1, bias_attr=False)

        init_convolutions(self)
        if pretrained is not None:
            utils.load_pretrained_model(self, pretrained)

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        """(N, in_channels, H, W) to five maps.

        Returns:
            d1, d2 and d, the spatial path's three states: each (N, 4P, H/8, W/8); stage 4: (N, 4P, H/16, W/16);
            stage 6: (N, 16P, H/64, W/64). Sides are rounded up.
        """
        x = self.stage1(self.stem(x))
        x = self.stage2(F.relu(x))
        x3 = self.stage3(F.relu(x))
        spatial, semantic = paddle.chunk(F.relu(x3), 2, axis=1)

        d1 = self.spatial1(spatial)
        x4 = self.stage4(semantic)
        x5 = self.stage5(F.relu(x4 + self.down4(d1)))
        d1 = x3 + d1 + resize_to(F.relu(x4), d1)

        d2 = self.spatial2(d1)  # ends with a ReLU
        x5 = F.relu(x5 + self.down5(d2))
        d = d2 + resize_to(self.up5(x5), d2)

        return [d1, d2, d, x4, self.stage6(x5)]


@manager.BACKBONES.add_component
def SANetEncoder_S(in_channels: int = 3, pretrained: str | None = None) -> SANetEncoder:
    """The small encoder of the paper: stages of 2, 2, 2 and 2 blocks."""
    return SANetEncoder((2, 2, 2, 2), in_channels=in_channels, pretrained=pretrained)


@manager.BACKBONES.add_component
def SANetEncoder_M(in_channels: int = 3, pretrained: str | None = None) -> SANetEncoder:
    """The medium one: stages of 3, 3, 9 and 3 blocks."""
    return SANetEncoder((3, 3, 9, 3), in_channels=in_channels, pretrained=pretrained)


@manager.BACKBONES.add_component
def SANetEncoder_L(in_channels: int = 3, pretrained: str | None = None) -> SANetEncoder:
    """The large one: stages of 3, 3, 27 and 3 blocks, and dilations up to 13."""
    dilations = (1, 2, 5, 7, 13)
    return SANetEncoder((3, 3, 27, 3), dilations, dilations, in_channels=in_channels, pretrained=pretrained)


class BasicBlock(nn.Layer):
    """Two 3×3 convolutions and a shortcut, which is projected where stride or width change."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, last_relu: bool):
        super().__init__()
        self.conv1 = layers.ConvBNReLU(in_channels, out_channels, 3, stride=stride, padding=1, bias_attr=False)
        self.conv2 = layers.ConvBN(out_channels, out_channels, 3, padding=1, bias_attr=False)
        self.shortcut = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = layers.ConvBN(in_channels, out_channels, 1, stride=stride, bias_attr=False)
        self.last_relu = last_relu

    def forward(self, x):
        y = self.conv2(self.conv1(x)) + self.shortcut(x)
        return F.relu(y) if self.last_relu else y


class Bottleneck(nn.Layer):
    """1×1, 3×3 with stride 2, 1×1 to twice the width, and a projected shortcut; no ReLU at the end."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        width = out_channels // 2
        self.conv1 = layers.ConvBNReLU(in_channels, width, 1, bias_attr=False)
        self.conv2 = layers.ConvBNReLU(width, width, 3, stride=2, padding=1, bias_attr=False)
        self.conv3 = layers.ConvBN(width, out_channels, 1, bias_attr=False)
        self.shortcut = layers.ConvBN(in_channels, out_channels, 1, stride=2, bias_attr=False)

    def forward(self, x):
        return self.conv3(self.conv2(self.conv1(x))) + self.shortcut(x)


def residual_stage(in_channels: int, out_channels: int, num_blocks: int, stride: int) -> nn.Sequential:
    """Basic blocks, the first with the stride, the last without its ReLU."""
    return nn.Sequential(
        BasicBlock(in_channels, out_channels, stride, last_relu=num_blocks > 1),
        *(BasicBlock(out_channels, out_channels, 1, last_relu=i < num_blocks) for i in range(2, num_blocks + 1)),
    )


def dilated_path(in_channels: int, out_channels: int, dilations: Sequence[int]) -> nn.Sequential:
    """A 3×3 convolution, batch norm and ReLU for each dilation, after a 1×1 convolution where the widths differ."""
    convs = [
        (str(i), layers.ConvBNReLU(out_channels, out_channels, 3, padding=d, dilation=d, bias_attr=False))
        for i, d in enumerate(dilations)
    ]
    if in_channels != out_channels:
        convs.insert(0, ("widen", nn.Conv2D(in_channels, out_channels, 1)))
    return nn.Sequential(*convs)
