"""SANet, the spatial-assistant encoder-decoder network for real-time segmentation (https://arxiv.org/abs/2309.10519)."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.nn.functional as F
from paddle import nn
from paddleseg.cvlibs import manager
from paddleseg.utils import utils

from paddleseg_ext.layers.attention import SimpleAttentionDecoder
from paddleseg_ext.layers.basic import bn_relu_conv, init_convolutions, resize_to
from paddleseg_ext.layers.pyramid_pooling import APPPM, ContextModule
from paddleseg_ext.losses.common import losses_in_float32
from paddleseg_ext.models.sanet_encoder import SANetEncoder_S

OUTPUTS = ("main", "aux", "boundary", "boundary_aware")


@manager.MODELS.add_component
class SANet(nn.Layer):
    """SANet: encoder, context module, attention decoder (SAD), and a main, an auxiliary and a boundary head.

    Args:
        num_classes: K.
        backbone: a `SANetEncoder`; None is `SANetEncoder_S`.
        context: a context module (`APPPM`, `DAPPM`, ...) from the backbone's last width to its first; None is `APPPM`.
        in_channels: channels of the image, for the backbone that None is; PaddleSeg sets it where a YAML has none.
        head_channels: width of the main and the auxiliary head.
        outputs: what the network returns in training, in the order of the losses in the YAML and "main" first:
            "main" and "aux" logits (N, K, H, W), "boundary" logits (N, boundary_classes, H, W), and "boundary_aware",
            the pair of main and boundary logits, which needs "boundary" beside it. A head that no output needs is
            not built.
        boundary_classes: 1 for `EdgeLabelBCELoss` and `BoundaryBCELoss`, K for `MultiClassBoundaryLoss`.
        spatial_fusion: see `SimpleAttentionDecoder`.
        align_corners: how logits are enlarged to the image's size, the only place where the authors align corners.
        pretrained: path or address of a `.pdparams` file; what differs in shape (other classes) starts afresh.

    Raises:
        ValueError: unknown `outputs`, or a backbone or context of other widths than its neighbours need.
    """

    loss_computation = staticmethod(losses_in_float32)

    def __init__(
        self,
        num_classes: int,
        backbone: nn.Layer | None = None,
        context: nn.Layer | None = None,
        head_channels: int = 64,
        outputs: Sequence[str] = OUTPUTS,
        boundary_classes: int = 1,
        spatial_fusion: str = "add",
        align_corners: bool = True,
        pretrained: str | None = None,
        in_channels: int = 3,
    ):
        super().__init__()
        self.outputs = list(outputs)
        if self.outputs[:1] != ["main"] or len(set(outputs)) < len(outputs) or set(outputs) - set(OUTPUTS):
            raise ValueError(f"outputs is {outputs!r}; expected 'main', then any of {list(OUTPUTS[1:])} once")
        if "boundary_aware" in outputs and "boundary" not in outputs:  # and several processes would stop at step 2
            raise ValueError(f"outputs is {self.outputs}; 'boundary_aware' trains no boundary head: add 'boundary'")
        self.align_corners = align_corners

        backbone = SANetEncoder_S(in_channels) if backbone is None else backbone
        if len(backbone.feat_channels) != 5 or len(set(backbone.feat_channels[:3])) != 1:
            raise ValueError(
                f"backbone {type(backbone).__name__} has maps of {backbone.feat_channels} channels; "
                "expected five, the first three alike: a SANetEncoder"
            )
        channels, *_, aux_channels, last_channels = backbone.feat_channels
        self.backbone = backbone
        self.context = APPPM(last_channels, channels, channels) if context is None else context
        if not isinstance(self.context, ContextModule):
            raise ValueError(f"context is {context!r:.60}; expected a context module, in a YAML {{type: APPPM}}")
        expected = (last_channels, channels)
        if (self.context.in_channels, self.context.out_channels) != expected:
            raise ValueError(
                f"context {type(self.context).__name__} goes from {self.context.in_channels} to "
                f"{self.context.out_channels} channels; this backbone needs {expected[0]} to {expected[1]}"
            )
        self.decoder = SimpleAttentionDecoder(channels, channels // 2, spatial_fusion)
        self.heads = ["main"]
        self.main_head = segmentation_head(channels // 2, head_channels, num_classes)
        if "aux" in outputs:
            self.heads.append("aux")
            self.aux_head = segmentation_head(aux_channels, head_channels, num_classes)
        if "boundary" in outputs:
            self.heads.append("boundary")
            self.boundary_head = segmentation_head(channels, channels // 4, boundary_classes)

        if pretrained is not None:
            utils.load_entire_model(self, pretrained)

    def forward(self, x: paddle.Tensor) -> list:
        """An image (N, C, H, W) to a list of logits at its size: `outputs` in training, main alone in evaluation."""
        if not self.training:
            return [self.forward_heads(x, ["main"])["main"]]
        logits = self.forward_heads(x)
        if "boundary_aware" in self.outputs:
            logits["boundary_aware"] = (logits["main"], logits["boundary"])
        return [logits[name] for name in self.outputs]

    def forward_heads(self, x: paddle.Tensor, heads: Sequence[str] | None = None) -> dict[str, paddle.Tensor]:
        """The logits of some heads ("main", "aux", "boundary"; None: all that there are) at the image's size."""
        heads = self.heads if heads is None else heads
        d1, d2, d, x4, x6 = self.backbone(x)
        logits = {}
        if "main" in heads:
            logits["main"] = self.main_head(self.decoder(d1, d2, d, self.context(F.relu(x6))))
        if "aux" in heads:
            logits["aux"] = self.aux_head(x4)
        if "boundary" in heads:
            logits["boundary"] = self.boundary_head(d)
        return {name: resize_to(value, x, self.align_corners) for name, value in logits.items()}


def segmentation_head(in_channels: int, width: int, num_classes: int) -> nn.Sequential:
    """Two pre-activated convolutions, 3×3 to `width` and 1×1 with a bias to the classes."""
    head = nn.Sequential(bn_relu_conv(in_channels, width, 3), bn_relu_conv(width, num_classes, 1, bias=True))
    init_convolutions(head)
    return head
