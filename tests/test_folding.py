"""Batch norms folded where that is exact, and only there."""

import paddle
import paddle.nn.functional as F
import pytest
from deploy_support import network, pictures, spread_statistics
from paddle import nn
from paddleseg.models import STDC1, BiSeNetV2, DDRNet_23, PPLiteSeg

from paddleseg_ext.command import UserError
from paddleseg_ext.deploy import exporting
from paddleseg_ext.deploy.exporting import fold_and_compare, require_passed
from paddleseg_ext.deploy.folding import fold_batch_norms


def test_every_case():
    model = network()
    folding, comparison = fold_and_compare(model, pictures())
    assert folding.folded == {
        "norm_stem": "conv_stem",
        "norm_up": "conv_up",
        "norm_first": "conv_first",
    }
    assert folding.kept == {
        "norm_shared": "what lies between it and the convolution is used elsewhere too",
        "norm_padded": "the convolution after it pads with zeros",
        "norm_preactivated": "no convolution beside it without an operation between (pre-activation)",
        "norm_training": "evaluation does not run it",
    }
    assert comparison.passed and comparison.relative_difference < 1e-5
    assert isinstance(model.norm_stem, nn.Identity) and isinstance(model.norm_shared, nn.BatchNorm2D)
    assert str(folding).startswith("3 batch norms folded, 4 kept")


def test_value_changed_in_place_between_is_not_folded():
    class InPlace(nn.Layer):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2D(3, 4, 1)
            self.norm = nn.BatchNorm2D(4)

        def forward(self, x):
            x = self.conv(x)
            F.relu_(x)
            return [self.norm(x)]

    model = spread_statistics(InPlace())
    model.eval()
    with paddle.no_grad():
        assert fold_batch_norms(model, paddle.randn([1, 3, 8, 8])).folded == {}


def test_layers_that_run_twice_are_kept():
    class Twice(nn.Layer):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2D(3, 3, 1)
            self.norm = nn.BatchNorm2D(3)

        def forward(self, x):
            return [self.norm(self.conv(self.norm(self.conv(x))))]

    model = Twice()
    model.eval()
    folding = fold_batch_norms(model, paddle.randn([1, 3, 8, 8]))
    assert folding.kept == {"norm": "it or the convolution runs more than once"}


def test_batch_statistics_are_kept():
    model = nn.Sequential(nn.Conv2D(3, 3, 1), nn.BatchNorm2D(3, use_global_stats=False))

    class Listed(nn.Layer):
        def __init__(self):
            super().__init__()
            self.body = model

        def forward(self, x):
            return [self.body(x)]

    folding = fold_batch_norms(Listed(), paddle.randn([1, 3, 8, 8]))
    assert folding.kept == {"body.1": "it uses the batch's statistics in evaluation too"}


def test_difference_is_refused(monkeypatch):
    monkeypatch.setattr(
        exporting, "fold_batch_norms", lambda model, x: model.conv_out.bias.set_value(model.conv_out.bias + 0.1)
    )
    _, comparison = fold_and_compare(network(), pictures())
    with pytest.raises(UserError, match="nothing is written.*folded against unfolded"):
        require_passed([comparison])


@pytest.mark.parametrize(
    "build, folded",
    [
        (lambda: BiSeNetV2(19), 52),
        pytest.param(lambda: DDRNet_23(num_classes=19), 43, marks=pytest.mark.slow),
        pytest.param(lambda: PPLiteSeg(19, STDC1()), 46, marks=pytest.mark.slow),
    ],
    ids=["BiSeNetV2", "DDRNet_23", "PPLiteSeg"],
)
def test_networks_of_paddleseg(build, folded):
    paddle.seed(0)
    model = spread_statistics(build())
    folding, comparison = fold_and_compare(model, pictures((64, 128)))
    assert len(folding.folded) == folded
    assert comparison.passed, str(comparison)
