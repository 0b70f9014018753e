"""The context modules of SANet (https://arxiv.org/abs/2309.10519): APPPM, and what its authors tried before it.

All see the same (N, C, h, w) map, h and w being 1/64 of the image's sides, and have the same frame:

    1×1 branch | the module's own pyramid | global pooling  --concat, 1×1-->  fused with a 1×1 shortcut

They are registered in MODELS, since PaddleSeg has no manager for layers, so that a YAML can say
``context: {type: APPPM}``. Convolutions come after their batch norm and ReLU, and have no bias.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import paddle
from paddle import nn
from paddleseg.cvlibs import manager

from paddleseg_ext.layers.attention import BiAttentionFusion
from paddleseg_ext.layers.basic import bn_relu_conv, init_convolutions, resize_to

POOLS = ((5, 2), (9, 4), (17, 8))  # kernel and stride


def average_pool(kernel: tuple[int, int], stride: tuple[int, int]) -> nn.AvgPool2D:
    """Average pooling that counts the zero padding in its mean: PyTorch's default, not Paddle's."""
    return nn.AvgPool2D(kernel, stride, padding=(kernel[0] // 2, kernel[1] // 2), exclusive=False)


def asymmetric_pooling(
    in_channels: int, out_channels: int, kernel: int, stride: int, kernels: Sequence[tuple[int, int]] = ((3, 3), (3, 3))
) -> nn.Sequential:
    """Pools along the width, convolves, pools along the height, convolves; `kernels` are those of the convolutions."""
    return nn.Sequential(
        average_pool((1, kernel), (1, stride)),
        bn_relu_conv(in_channels, out_channels, kernels[0]),
        average_pool((kernel, 1), (stride, 1)),
        bn_relu_conv(out_channels, out_channels, kernels[1]),
    )


class ContextModule(nn.Layer):
    """The common frame; a subclass adds its ``pyramid(x, point)``.

    It makes a list of maps of any size from the input (N, C, h, w) and from the 1×1 branch of that.

    Args:
        in_channels: C; for SANet the backbone's last width.
        branch_channels: width of each branch.
        out_channels: width of the result; for SANet the backbone's first width.
        num_maps: how many maps `pyramid` returns.
        fusion: makes the result of (shortcut, compressed pyramid); None is `BiAttentionFusion`.
    """

    def __init__(
        self,
        in_channels: int,
        branch_channels: int,
        out_channels: int,
        num_maps: int,
        fusion: Callable[[paddle.Tensor, paddle.Tensor], paddle.Tensor] | None = None,
    ):
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.point = bn_relu_conv(in_channels, branch_channels, 1)
        self.whole = nn.Sequential(nn.AdaptiveAvgPool2D(1), bn_relu_conv(in_channels, branch_channels, 1))
        self.compression = bn_relu_conv(branch_channels * (num_maps + 2), out_channels, 1)
        self.shortcut = bn_relu_conv(in_channels, out_channels, 1)
        self.fusion = fusion or BiAttentionFusion(out_channels)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, in_channels, h, w) to (N, out_channels, h, w)."""
        point = self.point(x)
        maps = [resize_to(y, x) for y in (*self.pyramid(x, point), self.whole(x))]
        return self.fusion(self.shortcut(x), self.compression(paddle.concat([point, *maps], axis=1)))


@manager.MODELS.add_component
class APPPM(ContextModule):
    """Asymmetric pooling pyramid: each branch pools along the width, convolves, then along the height, convolves.

    Between the two poolings a branch sees twice (four, eight times) the rows that a square pooling would leave.
    Arguments and shapes are those of `ContextModule`.
    """

    def __init__(self, in_channels: int = 512, branch_channels: int = 128, out_channels: int = 128):
        super().__init__(in_channels, branch_channels, out_channels, num_maps=len(POOLS))
        for n, (kernel, stride) in enumerate(POOLS, start=1):
            self.add_sublayer(f"branch{n}", asymmetric_pooling(in_channels, branch_channels, kernel, stride))
        init_convolutions(self)

    def pyramid(self, x, point):
        return [self.branch1(x), self.branch2(x), self.branch3(x)]


@manager.MODELS.add_component
class DAPPM(ContextModule):
    """The deep aggregation pyramid of DDRNet (https://arxiv.org/abs/2101.06085) as SANet's authors draw it.

    Square pooling; each branch adds the result of the one before, the first that of the 1×1 branch. The shortcut is
    added. Unlike DDRNet's, the global branch stands outside the cascade. Arguments and shapes are those of
    `ContextModule`.
    """

    pools: tuple[tuple[int, int], ...] = POOLS
    adds_shortcut = True  # False: bi-attention

    def __init__(self, in_channels: int = 512, branch_channels: int = 128, out_channels: int = 128):
        fusion = paddle.add if self.adds_shortcut else None
        super().__init__(in_channels, branch_channels, out_channels, len(self.pools), fusion)
        self.pooled = nn.LayerList(
            nn.Sequential(
                average_pool((kernel, kernel), (stride, stride)), bn_relu_conv(in_channels, branch_channels, 1)
            )
            for kernel, stride in self.pools
        )
        self.process = nn.LayerList(bn_relu_conv(branch_channels, branch_channels, 3) for _ in self.pools)
        init_convolutions(self)

    def pyramid(self, x, point):
        maps = [point]
        for pooled, process in zip(self.pooled, self.process):
            maps.append(process(resize_to(pooled(x), x) + maps[-1]))
        return maps[1:]


@manager.MODELS.add_component
class SlimDAPPM(DAPPM):
    """`DAPPM` without its largest pooling, and with bi-attention for the shortcut; the same arguments."""

    pools = POOLS[:2]
    adds_shortcut = False


TAB_FORMS = {"3x3": None, "3x3_3x3": ((3, 3), (3, 3)), "1x3_3x1": ((1, 3), (3, 1)), "3x1_1x3": ((3, 1), (1, 3))}


def asymmetric_pooling_block(in_channels: int, out_channels: int, form: str) -> nn.Sequential:
    """TAB: `asymmetric_pooling` to half the sides; the form "3x3" halves both at once and convolves once.

    Raises:
        ValueError: a `form` that is not in `TAB_FORMS`.
    """
    if form not in TAB_FORMS:
        raise ValueError(f"tab is {form!r}; expected one of {list(TAB_FORMS)}")
    kernels = TAB_FORMS[form]
    if kernels is None:
        return nn.Sequential(average_pool((5, 5), (2, 2)), bn_relu_conv(in_channels, out_channels, 3))
    return asymmetric_pooling(in_channels, out_channels, 5, 2, kernels)


@manager.MODELS.add_component
class SPPFTAB(ContextModule):
    """Small poolings in a row in place of large ones: branch n passes through n asymmetric pooling blocks (TAB).

    Args:
        in_channels: see `ContextModule`, also for `branch_channels` and `out_channels`.
        tab: the convolutions of a block, "3x3" (one, after a square pooling), "3x3_3x3", "1x3_3x1" or "3x1_1x3".

    Raises:
        ValueError: another `tab`.
    """

    reuse = False

    def __init__(
        self, in_channels: int = 512, branch_channels: int = 128, out_channels: int = 128, tab: str = "3x3_3x3"
    ):
        num_branches = 3
        super().__init__(in_channels, branch_channels, out_channels, num_maps=num_branches)
        self.branches = nn.LayerList(
            nn.LayerList(
                asymmetric_pooling_block(in_channels if depth == 0 else branch_channels, branch_channels, tab)
                for depth in range(length)
            )
            for length in range(1, num_branches + 1)
        )
        init_convolutions(self)

    def pyramid(self, x, point):
        # comments, since Paddle 2.6 cannot export a function whose local variables are annotated
        maps = []  # type: list[paddle.Tensor]
        before = []  # type: list[paddle.Tensor]
        for branch in self.branches:
            y = x
            states = []  # type: list[paddle.Tensor]
            for block in branch:
                y = block(y)
                if self.reuse and len(states) < len(before):
                    y = y + before[len(states)]
                states.append(y)
            maps.append(y)
            before = states
        return maps


@manager.MODELS.add_component
class SPPFTABAdd(SPPFTAB):
    """`SPPFTAB` whose branches add, depth by depth, what the branch before has at the same depth."""

    reuse = True
