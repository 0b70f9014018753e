import json

import numpy as np
import paddle
import pytest
from paddle import nn
from paddle.nn import functional as F
from paddle.vision.models import resnet18
from picture_support import EVERY_NETWORK, SANET, run_tool, write_config, write_dataset

from paddleseg_ext.analysis.receptive_field import (
    AxisField,
    EffectiveFields,
    Field,
    field_table,
    plot_effective,
    squares,
    theoretical_fields,
)
from paddleseg_ext.command import UserError


class TwoPaths(nn.Layer):
    """A long path beside a short one, added."""

    def __init__(self):
        super().__init__()
        self.long = nn.Sequential(nn.Conv2D(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2D(4, 4, 3, padding=3, dilation=3))
        self.short = nn.Conv2D(3, 4, 1)
        self.join = nn.Identity()

    def forward(self, x):
        return self.join(F.relu(self.long(x)) + self.short(x))


class Gate(nn.Layer):
    """What passes is small, what decides is large: the field is that of the gate."""

    def __init__(self):
        super().__init__()
        self.gate = nn.Conv2D(3, 4, 9, padding=4)
        self.value = nn.Conv2D(3, 4, 1)
        self.out = nn.Identity()

    def forward(self, x):
        return self.out(F.sigmoid(self.gate(x)) * self.value(x))


def conv(kernel, **settings):
    return nn.Conv2D(3, 3, kernel, **settings)


# name -> layers, then (size, stride, centre of output 0) by hand for height and width of the last one
STACKS = {
    "one by one": ([conv(1)], (1, 1, 0), (1, 1, 0)),
    "three": ([conv(3, padding=1)], (3, 1, 0), (3, 1, 0)),
    "no padding": ([conv(3), conv(5)], (7, 1, 3), (7, 1, 3)),
    "stride": (
        [conv(3, stride=2, padding=1), conv(3, stride=2, padding=1), conv(3, padding=1)],
        (15, 4, 0),
        (15, 4, 0),
    ),
    "even kernel": ([conv(2, stride=2), conv(4, stride=4)], (8, 8, 3.5), (8, 8, 3.5)),
    "dilation": ([conv(3, dilation=6, padding=6)], (13, 1, 0), (13, 1, 0)),
    "asymmetric": ([conv((1, 5), stride=(1, 2), padding=(0, 2)), conv((3, 1), padding=(1, 0))], (3, 1, 0), (5, 2, 0)),
    "max pool": ([conv(7, stride=2, padding=3), nn.MaxPool2D(3, 2, 1)], (11, 4, 0), (11, 4, 0)),
    "mean pool": ([nn.AvgPool2D(17, 8, 8), conv(3, padding=1)], (33, 8, 0), (33, 8, 0)),
    "batch norm and relu": ([conv(3, padding=1), nn.BatchNorm2D(3), nn.ReLU(), conv(3)], (5, 1, 1), (5, 1, 1)),
    "grouped": ([conv(3, groups=3, padding=1, stride=2)], (3, 2, 0), (3, 2, 0)),
    "far": ([conv(3, dilation=400, padding=400), conv(3, dilation=400, padding=400)], (1601, 1, 0), (1601, 1, 0)),
}


@pytest.mark.parametrize("layers, height, width", STACKS.values(), ids=STACKS)
def test_stacks_are_exact(layers, height, width):
    name = str(len(layers) - 1)
    field = theoretical_fields(nn.Sequential(*layers), [name])[name]
    for axis, (size, stride, centre) in ((field.height, height), (field.width, width)):
        assert axis.size == size
        assert (axis.stride, axis.centre) == (stride, centre)


def test_upsampling_is_exact():
    layers = [conv(3, padding=1, stride=2), nn.Conv2DTranspose(3, 3, 2, stride=2), nn.Upsample(scale_factor=4)]
    fields = theoretical_fields(nn.Sequential(*layers, nn.Upsample(scale_factor=2, mode="bilinear")), ["1", "2", "3"])
    # copies of a position see its 3 pixels; the middle bilinear output lies between two positions, 2 pixels apart
    assert [(field.width.size, field.width.stride) for field in fields.values()] == [(3, 1), (3, 0.25), (5, 0.125)]


def test_two_paths_and_gates_see_what_either_part_sees():
    fields = theoretical_fields(TwoPaths(), ["long", "short", "join"])
    assert [field.width.size for field in fields.values()] == [9, 1, 9]
    fields = theoretical_fields(Gate(), ["gate", "value", "out"])
    assert [field.width.size for field in fields.values()] == [9, 1, 9]


def test_global_parts_see_the_whole_input():
    class Pooled(nn.Layer):
        def __init__(self):
            super().__init__()
            self.bins = nn.AdaptiveAvgPool2D(3)
            self.attention = nn.Conv2D(3, 3, 1)
            self.sum = nn.Identity()

        def forward(self, x):
            weights = F.softmax(x.flatten(2), axis=-1).reshape(x.shape)
            return self.sum(self.attention(x * weights)) + F.interpolate(self.bins(x), x.shape[2:])

    fields = theoretical_fields(Pooled(), ["bins", "attention"], max_size=512)
    assert fields["bins"].width.size is None and fields["bins"].width.stride is None
    assert fields["attention"].width.size is None and fields["attention"].width.stride == 1
    assert "whole input" in field_table(fields)


STAGES = ["maxpool", "layer1", "layer2", "layer3", "layer4"]


@pytest.mark.slow
def test_resnet18_is_exact():
    """By r <- r + (k - 1) * jump."""
    fields = theoretical_fields(resnet18(), STAGES)
    assert [fields[name].height.size for name in STAGES] == [11, 43, 99, 211, 435]
    assert [fields[name].width.size for name in STAGES] == [11, 43, 99, 211, 435]
    assert [fields[name].width.stride for name in STAGES] == [4, 4, 8, 16, 32]
    assert [fields[name].channels for name in STAGES] == [64, 64, 128, 256, 512]


def test_tracing_leaves_network_and_paddle_as_they_were():
    model = TwoPaths()
    before = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    relu, max_pool = F.relu, F.max_pool2d
    theoretical_fields(model, ["join"])
    assert (F.relu, F.max_pool2d, paddle.get_default_dtype()) == (relu, max_pool, "float32")
    assert model.training
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])


def test_effective_field_of_a_mean_is_the_mean():
    model = nn.Sequential(nn.AvgPool2D(5, 1, 2))
    effective = EffectiveFields(model, ["0"])
    for _ in range(2):
        effective.add(paddle.randn([1, 3, 21, 31]))
    shares = effective.shares("0")
    expected = np.zeros((21, 31))
    expected[8:13, 13:18] = 1 / 25
    np.testing.assert_allclose(shares, expected, atol=1e-7)
    axis = AxisField(5, 1, 0)
    assert effective.centre("0", Field(3, axis, axis)) == (10, 15)
    found = squares(shares, (10, 15), (0.2, 0.36, 0.99))
    assert [square.side for square in found] == [3, 3, 5]
    np.testing.assert_allclose([square.area_ratio for square in found], np.array([9, 9, 25]) / (21 * 31))


def test_squares_are_centred_where_the_field_is():
    """Output i of padded convolutions with stride 8 sees around pixel 8 i, not around the middle of its 8 pixels."""
    model = nn.Sequential(*(nn.Conv2D(3, 3, 3, stride=2, padding=1) for _ in range(3)))
    for layer in model:
        layer.weight.set_value(paddle.ones_like(layer.weight))
    effective, field = EffectiveFields(model, ["2"]), theoretical_fields(model, ["2"])["2"]
    effective.add(paddle.ones([1, 3, 64, 64]))
    centre = effective.centre("2", field)
    assert centre == (32, 32)  # output 4 of 8
    shares = effective.shares("2")
    rows = shares.sum(axis=1)
    assert rows @ np.arange(64) == pytest.approx(32)  # the field's own middle
    assert squares(shares, centre, (0.9999,))[0].side == field.height.size == 15
    whole = AxisField(None, 8, None)
    assert effective.centre("2", Field(3, whole, whole)) == (32, 32)


def test_squares_are_cut_at_the_border():
    (square,) = squares(np.full((4, 10), 1 / 40), (2, 5), (0.99,))
    assert square.area_ratio == 1 and square.side == 11


def test_a_dead_output_is_told():
    model = nn.Sequential(nn.Conv2D(3, 1, 1), nn.ReLU())
    model[0].bias.set_value(np.float32([-1e3]))
    effective = EffectiveFields(model, ["1"])
    effective.add(paddle.ones([1, 3, 4, 4]))
    with pytest.raises(ValueError, match="1: the gradient of its central output is zero everywhere"):
        effective.shares("1")


def test_plot_is_written(tmp_path):
    shares = np.full((40, 60), 1 / 2400)
    path = tmp_path / "effective.png"
    plot_effective(str(path), "layer", shares, (20, 30), squares(shares, (20, 30)))
    assert path.stat().st_size > 5000


@pytest.mark.slow
@pytest.mark.parametrize("network", EVERY_NETWORK, ids=lambda network: network["type"])
def test_every_network(tmp_path, network, capsys):
    paddle.seed(0)
    write_dataset(tmp_path, count=2)
    flags = {"config": write_config(tmp_path, **network), "save_dir": tmp_path / "out", "input_size": [96, 64]}
    assert run_tool("receptive_field", image_path=tmp_path / "images", max_size=512, depth=1, **flags) == 0
    report = json.loads((tmp_path / "out/receptive_fields.json").read_text())
    table = capsys.readouterr().out
    for name, entry in report.items():
        assert name in table
        assert (tmp_path / f"out/effective_{name}.png").is_file()
        assert [square["share"] for square in entry["effective"]] == [0.2, 0.5, 0.95, 0.99]
        ratios = [square["area_ratio"] for square in entry["effective"]]
        assert ratios == sorted(ratios) and ratios[0] > 0 and ratios[-1] <= 1


def test_sanet_stages_by_name_over_noise(tmp_path):
    paddle.seed(0)  # in one of twenty networks the four channels of the stem are zero at the centre of such an input
    write_dataset(tmp_path, count=1)
    config = write_config(tmp_path, type="SANet", backbone={"type": "SANetEncoder", "base_channels": 4})
    stages = [
        "backbone.stem",
        "backbone.stage1",
        "backbone.stage2",
        "backbone.spatial1",
        "backbone.spatial2",
        "context",
    ]
    flags = {"save_dir": tmp_path, "input_size": [64, 64], "num_noise": 1, "max_size": 1024}
    assert run_tool("receptive_field", config=config, layers=stages, **flags) == 0
    report = json.loads((tmp_path / "receptive_fields.json").read_text())
    # 3x3/2 twice; 4 convolutions at stride 4; one at 4 and 3 at 8; 4 and 1+2+5 dilations at 8
    assert [report[name]["width"]["size"] for name in stages[:4]] == [7, 39, 95, 95 + 64 + 128]
    assert report["context"]["width"]["size"] is None and report["context"]["width"]["stride"] == 64


def test_what_is_wrong_is_told(tmp_path):
    write_dataset(tmp_path, count=1)
    flags = {"config": write_config(tmp_path, **SANET), "save_dir": tmp_path, "input_size": [64, 64], "max_size": 64}
    with pytest.raises(UserError, match="--layers nothing"):
        run_tool("receptive_field", layers=["nothing"], **flags)
    (tmp_path / "broken.png").write_text("no image")
    with pytest.raises(UserError, match="none of the images could be read"):
        run_tool("receptive_field", layers=["backbone.stem"], image_path=tmp_path / "broken.png", **flags)
