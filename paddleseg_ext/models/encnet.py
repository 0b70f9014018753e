"""EncNet (Zhang et al., "Context Encoding for Semantic Segmentation", CVPR 2018)."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.nn as nn
from paddleseg.cvlibs import manager
from paddleseg.models import layers
from paddleseg.utils import utils

from paddleseg_ext.layers.basic import resize_to
from paddleseg_ext.layers.encoding import EncModule
from paddleseg_ext.losses.common import losses_in_float32


@manager.MODELS.add_component
class EncNet(nn.Layer):
    """EncNet with the names and shapes of PaddleSeg's `ENCNet`: checkpoints of either load in the other.

    Args:
        num_classes: the number of classes.
        backbone: a network that returns its stages and has their widths in `feat_channels`.
        backbone_indices: the stages used: the last one is encoded, the others feed the laterals. The auxiliary head
            is on stage 2 whatever they are.
        num_codes: codewords of the encoding.
        mid_channels: width of the head.
        use_se_loss: predict from the encoding which classes are present, for `EncodingBCELoss`.
        add_lateral: fuse the earlier stages into the last one.
        pretrained: path or URL of a whole model's weights.

    Shape:
        input (N, 3, H, W). Training: [main (N, num_classes, H, W), auxiliary (N, num_classes, H, W), classes present
        (N, num_classes) if `use_se_loss`]; evaluation: [main].

    Raises:
        ValueError: a backbone of fewer than three stages, or `backbone_indices` that it does not have.
    """

    loss_computation = staticmethod(losses_in_float32)

    def __init__(
        self,
        num_classes: int,
        backbone: nn.Layer,
        backbone_indices: Sequence[int] = (1, 2, 3),
        num_codes: int = 32,
        mid_channels: int = 512,
        use_se_loss: bool = True,
        add_lateral: bool = False,
        pretrained: str | None = None,
    ):
        super().__init__()
        stages = len(backbone.feat_channels)
        is_list = isinstance(backbone_indices, Sequence) and len(backbone_indices) > 0
        if stages < 3 or not is_list or not set(backbone_indices) <= {*range(stages)}:
            raise ValueError(
                f"backbone_indices is {backbone_indices!r}; expected a list of stages of {type(backbone).__name__}, "
                f"which has {stages} (at least 3 are needed), counted from 0"
            )
        self.backbone = backbone
        self.backbone_indices = backbone_indices
        self.add_lateral = add_lateral
        self.use_se_loss = use_se_loss

        *lateral_channels, last_channels = [backbone.feat_channels[i] for i in backbone_indices]
        self.bottleneck = layers.ConvBNReLU(last_channels, mid_channels, 3, padding=1)
        if add_lateral:
            self.lateral_convs = nn.LayerList(
                [layers.ConvBNReLU(channels, mid_channels, 1) for channels in lateral_channels]
            )
            self.fusion = layers.ConvBNReLU(len(backbone_indices) * mid_channels, mid_channels, 3, padding=1)
        self.enc_module = EncModule(mid_channels, num_codes)
        self.head = nn.Conv2D(mid_channels, num_classes, 1)
        self.fcn_head = layers.AuxLayer(backbone.feat_channels[2], mid_channels, num_classes)
        if use_se_loss:
            self.se_layer = nn.Linear(mid_channels, num_classes)

        if pretrained is not None:
            utils.load_entire_model(self, pretrained)

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        stages = self.backbone(x)
        encoded, feature = self.enc_module(self._feature(stages))
        outputs = [resize_to(self.head(feature), x)]
        if self.training:
            outputs.append(resize_to(self.fcn_head(stages[2]), x))
            if self.use_se_loss:
                outputs.append(self.se_layer(encoded))
        return outputs

    def _feature(self, stages: list[paddle.Tensor]) -> paddle.Tensor:
        """The last chosen stage at `mid_channels` wide, with the laterals fused in if there are any."""
        *earlier, last = [stages[i] for i in self.backbone_indices]
        feature = self.bottleneck(last)
        if not self.add_lateral:
            return feature
        laterals = [resize_to(conv(stage), feature) for conv, stage in zip(self.lateral_convs, earlier)]
        return self.fusion(paddle.concat([feature, *laterals], axis=1))
