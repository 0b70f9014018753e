"""SANet-S in PyTorch, layer by layer what paddleseg_ext.SANet is, to compare the two frameworks.

Attributes are called as in paddleseg_ext, so that weights move by name (`load`). A test holds it to the same logits.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class ConvBN(nn.Module):
    """PaddleSeg's ConvBN and, with `relu`, ConvBNReLU."""

    def __init__(self, in_channels, out_channels, kernel, stride=1, dilation=1, bias=False, relu=False):
        super().__init__()
        padding = dilation * (kernel // 2)
        self._conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, dilation, bias=bias)
        self._batch_norm = nn.BatchNorm2d(out_channels)
        self.relu = relu

    def forward(self, x):
        x = self._batch_norm(self._conv(x))
        return F.relu(x) if self.relu else x


def bn_relu_conv(in_channels, out_channels, kernel, bias=False):
    conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=bias)
    return nn.Sequential(nn.BatchNorm2d(in_channels), nn.ReLU(), conv)


def resize_to(x, reference, align_corners=False):
    return F.interpolate(x, reference.shape[2:], mode="bilinear", align_corners=align_corners)


class BasicBlock(nn.Module):
    def __init__(self, in_channels, out_channels, stride, last_relu):
        super().__init__()
        self.conv1 = ConvBN(in_channels, out_channels, 3, stride, relu=True)
        self.conv2 = ConvBN(out_channels, out_channels, 3)
        changes = stride != 1 or in_channels != out_channels
        self.shortcut = ConvBN(in_channels, out_channels, 1, stride) if changes else nn.Identity()
        self.last_relu = last_relu

    def forward(self, x):
        y = self.conv2(self.conv1(x)) + self.shortcut(x)
        return F.relu(y) if self.last_relu else y


class Bottleneck(nn.Module):
    def __init__(self, in_channels, out_channels):
        super().__init__()
        width = out_channels // 2
        self.conv1 = ConvBN(in_channels, width, 1, relu=True)
        self.conv2 = ConvBN(width, width, 3, 2, relu=True)
        self.conv3 = ConvBN(width, out_channels, 1)
        self.shortcut = ConvBN(in_channels, out_channels, 1, 2)

    def forward(self, x):
        return self.conv3(self.conv2(self.conv1(x))) + self.shortcut(x)


def residual_stage(in_channels, out_channels, stride):
    blocks = BasicBlock(in_channels, out_channels, stride, True), BasicBlock(out_channels, out_channels, 1, False)
    return nn.Sequential(*blocks)


def dilated_path(in_channels, out_channels, dilations):
    path = nn.Sequential()
    if in_channels != out_channels:
        path.add_module("widen", nn.Conv2d(in_channels, out_channels, 1))
    for i, dilation in enumerate(dilations):
        path.add_module(str(i), ConvBN(out_channels, out_channels, 3, dilation=dilation, relu=True))
    return path


class Encoder(nn.Module):
    def __init__(self, p=32):
        super().__init__()
        self.stem = nn.Sequential(ConvBN(3, p, 3, 2, bias=True, relu=True), ConvBN(p, p, 3, 2, bias=True, relu=True))
        self.stage1 = residual_stage(p, p, 1)
        self.stage2 = residual_stage(p, 2 * p, 2)
        self.stage3 = residual_stage(2 * p, 4 * p, 1)
        self.stage4 = residual_stage(2 * p, 4 * p, 2)
        self.stage5 = residual_stage(4 * p, 8 * p, 2)
        self.stage6 = Bottleneck(8 * p, 16 * p)
        self.spatial1 = dilated_path(2 * p, 4 * p, (1, 2, 5))
        self.spatial2 = dilated_path(4 * p, 4 * p, (7, 13))
        self.down4 = ConvBN(4 * p, 4 * p, 3, 2)
        self.down5 = nn.Sequential(ConvBN(4 * p, 4 * p, 3, 2, relu=True), ConvBN(4 * p, 8 * p, 3, 2))
        self.up5 = ConvBN(8 * p, 4 * p, 1)

    def forward(self, x):
        x = self.stage2(F.relu(self.stage1(self.stem(x))))
        x3 = self.stage3(F.relu(x))
        spatial, semantic = F.relu(x3).chunk(2, dim=1)
        d1 = self.spatial1(spatial)
        x4 = self.stage4(semantic)
        x5 = self.stage5(F.relu(x4 + self.down4(d1)))
        d1 = x3 + d1 + resize_to(F.relu(x4), d1)
        d2 = self.spatial2(d1)
        x5 = F.relu(x5 + self.down5(d2))
        return d1, d2, d2 + resize_to(self.up5(x5), d2), x4, self.stage6(x5)


class BiAttentionFusion(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.weight_conv = nn.Conv2d(channels, 1, 1)

    def forward(self, a, b):
        alpha = torch.sigmoid(self.weight_conv(F.relu(a + b)))
        return a * alpha + b * (1 - alpha)


class APPPM(nn.Module):
    def __init__(self, in_channels=512, width=128):
        super().__init__()
        self.point = bn_relu_conv(in_channels, width, 1)
        self.whole = nn.Sequential(nn.AdaptiveAvgPool2d(1), bn_relu_conv(in_channels, width, 1))
        self.compression = bn_relu_conv(5 * width, width, 1)
        self.shortcut = bn_relu_conv(in_channels, width, 1)
        self.fusion = BiAttentionFusion(width)
        for n, (kernel, stride) in enumerate(((5, 2), (9, 4), (17, 8)), start=1):
            branch = nn.Sequential(
                nn.AvgPool2d((1, kernel), (1, stride), (0, kernel // 2)),
                bn_relu_conv(in_channels, width, 3),
                nn.AvgPool2d((kernel, 1), (stride, 1), (kernel // 2, 0)),
                bn_relu_conv(width, width, 3),
            )
            self.add_module(f"branch{n}", branch)

    def forward(self, x):
        branches = (self.branch1, self.branch2, self.branch3, self.whole)
        maps = [self.point(x), *(resize_to(branch(x), x) for branch in branches)]
        return self.fusion(self.shortcut(x), self.compression(torch.cat(maps, dim=1)))


class Decoder(nn.Module):
    def __init__(self, channels, out_channels):
        super().__init__()
        self.row_conv = nn.Conv2d(channels, channels, (1, 3), padding=(0, 1), bias=False)
        self.column_conv = nn.Conv2d(channels, channels, (3, 1), padding=(1, 0), bias=False)
        self.out_conv = nn.Conv2d(channels, out_channels, 1, bias=False)

    def forward(self, d1, d2, d, y):
        y = resize_to(F.relu(y), d)
        attention = torch.sigmoid(self.row_conv(d1 + d2)) + torch.sigmoid(self.column_conv(d1 + d2))
        return self.out_conv(d * attention + d + y * (1 - attention) + y)


def segmentation_head(in_channels, width, num_classes):
    return nn.Sequential(bn_relu_conv(in_channels, width, 3), bn_relu_conv(width, num_classes, 1, bias=True))


class SANetS(nn.Module):
    """(N, 3, H, W) to main logits at 1/8, and in training to main, auxiliary and boundary logits at full size."""

    def __init__(self, num_classes=19, align_corners=True):
        super().__init__()
        self.align_corners = align_corners
        self.backbone = Encoder()
        self.context = APPPM()
        self.decoder = Decoder(128, 64)
        self.main_head = segmentation_head(64, 64, num_classes)
        self.aux_head = segmentation_head(128, 64, num_classes)
        self.boundary_head = segmentation_head(128, 32, 1)

    def forward(self, x):
        d1, d2, d, x4, x6 = self.backbone(x)
        main = self.main_head(self.decoder(d1, d2, d, self.context(F.relu(x6))))
        if not self.training:
            return main
        return [resize_to(y, x, self.align_corners) for y in (main, self.aux_head(x4), self.boundary_head(d))]


def load(network: nn.Module, state: dict) -> None:
    """Give `network` the weights of a paddleseg_ext.SANet, {name: array}; raises RuntimeError for other names."""
    renamed = {
        name.replace("._mean", ".running_mean").replace("._variance", ".running_var"): torch.from_numpy(array)
        for name, array in state.items()
    }
    network.load_state_dict({**network.state_dict(), **renamed})  # PyTorch alone counts batches


def state_for_paddle(network: nn.Module) -> dict:
    """The reverse of `load`."""
    return {
        name.replace(".running_mean", "._mean").replace(".running_var", "._variance"): tensor.numpy()
        for name, tensor in network.state_dict().items()
        if not name.endswith(".num_batches_tracked")
    }
