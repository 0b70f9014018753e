"""What the deployment tests share: a small network with every case of folding, and its exported folder."""

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn
from paddleseg.cvlibs import manager

from paddleseg_ext.deploy.exporting import export

CLASSES = 4
TRANSFORMS = [{"type": "Normalize"}]


@manager.MODELS.add_component
class FoldingCases(nn.Layer):
    """Convolutions and batch norms in every order, a global pool, and logits at the image's size."""

    def __init__(self, num_classes=CLASSES):
        super().__init__()
        self.norm_first = nn.BatchNorm2D(3)  # attributes in another order than the data flows
        self.norm_stem = nn.BatchNorm2D(8)
        self.conv_first = nn.Conv2D(3, 6, 1, groups=3)
        self.conv_stem = nn.Conv2D(6, 8, 3, stride=2, padding=1, bias_attr=False)
        self.conv_shared = nn.Conv2D(8, 8, 3, padding=1)
        self.norm_shared = nn.BatchNorm2D(8)
        self.norm_padded = nn.BatchNorm2D(8)
        self.conv_padded = nn.Conv2D(8, 12, 3, padding=1)
        self.norm_preactivated = nn.BatchNorm2D(12)
        self.conv_preactivated = nn.Conv2D(12, 12, 1)
        self.conv_up = nn.Conv2DTranspose(12, 6, 2, stride=2, groups=3)
        self.norm_up = nn.BatchNorm2D(6)
        self.norm_training = nn.BatchNorm2D(6)
        self.conv_out = nn.Conv2D(6, num_classes, 1)
        random = np.random.default_rng(0)
        for layer in self.sublayers():
            if isinstance(layer, nn.BatchNorm2D):
                for value in (layer.weight, layer.bias, layer._mean, layer._variance):
                    value.set_value(random.uniform(0.5, 1.5, value.shape).astype(np.float32))

    def forward(self, picture):
        x = self.conv_first(self.norm_first(picture))
        x = F.relu(self.norm_stem(self.conv_stem(x)))
        y = self.conv_shared(x)
        x = F.relu(self.norm_shared(y) + y)
        x = self.conv_padded(self.norm_padded(x))
        x = self.conv_preactivated(F.relu(self.norm_preactivated(F.avg_pool2d(x, 3, 1, 1))))
        x = x + x.mean((2, 3), keepdim=True)
        x = self.norm_up(self.conv_up(x))
        if self.training:
            x = self.norm_training(x)
        logits = self.conv_out(x)
        return [F.interpolate(logits, paddle.shape(picture)[2:], mode="bilinear")]


def network():
    paddle.seed(0)
    cases = FoldingCases()
    cases.eval()
    return cases


def spread_statistics(model):
    """Batch norms that do something: an untrained one is close to the identity."""
    random = np.random.default_rng(0)
    for layer in model.sublayers():
        if hasattr(layer, "_variance"):
            for name, low, high in (
                ("weight", 0.7, 1.3),
                ("bias", -0.2, 0.2),
                ("_mean", -0.2, 0.2),
                ("_variance", 0.7, 1.3),
            ):
                value = getattr(layer, name)
                value.set_value(random.uniform(low, high, value.shape).astype(np.float32))
    return model


def pictures(*sizes, batch=1):
    """Network inputs of noise."""
    random = np.random.default_rng(1)
    sizes = sizes or ((32, 48), (31, 45), (64, 64))
    return [random.standard_normal((batch, 3, *size)).astype(np.float32) for size in sizes]


def export_folder(folder, **options):
    """Export `network()`; returns what `export` reports."""
    shape = options.get("input_shape")
    inputs = pictures(shape[2:], batch=shape[0]) if shape else pictures()
    return export(network(), str(folder), TRANSFORMS, inputs, **options)
