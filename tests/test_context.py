"""The context modules: what they compute, that they train, export, and can be chosen in a YAML."""

import json
from pathlib import Path

import numpy as np
import paddle
import pytest
from paddleseg.cvlibs import manager
from picture_support import run_tool, write_config, write_dataset

from paddleseg_ext import APPPM, DAPPM, SPPFTAB, BiAttentionFusion, SlimDAPPM, SPPFTABAdd
from paddleseg_ext.command import UserError
from paddleseg_ext.layers.pyramid_pooling import TAB_FORMS, average_pool

ROOT = Path(__file__).resolve().parents[1]
MODULES = {
    **{cls.__name__: (cls, {}) for cls in (APPPM, DAPPM, SlimDAPPM)},
    **{f"{cls.__name__} {form}": (cls, {"tab": form}) for cls in (SPPFTAB, SPPFTABAdd) for form in TAB_FORMS},
}


@pytest.fixture(params=MODULES)
def module(request):
    cls, arguments = MODULES[request.param]
    return cls(in_channels=8, branch_channels=4, out_channels=6, **arguments)


def test_registered():
    for cls, _ in MODULES.values():
        assert manager.MODELS[cls.__name__] is cls


@pytest.mark.parametrize("height, width", [(1, 1), (5, 9)])
def test_trains(module, height, width):
    y = module(paddle.randn([2, 8, height, width]))
    assert y.shape == [2, 6, height, width]
    y.square().mean().backward()
    gradients = [p.grad for p in module.parameters() if not p.stop_gradient]
    assert all(gradient is not None and bool(paddle.isfinite(gradient).all()) for gradient in gradients)


def test_exports(module, tmp_path):
    module.eval()
    x = paddle.randn([1, 8, 3, 5])
    expected = module(x).numpy()
    static = paddle.jit.to_static(module, input_spec=[paddle.static.InputSpec([None, 8, None, None], "float32")])
    paddle.jit.save(static, str(tmp_path / "module"))
    np.testing.assert_allclose(paddle.jit.load(str(tmp_path / "module"))(x).numpy(), expected, atol=1e-5)


def test_pooling_counts_the_padding():
    pooled = average_pool((1, 5), (1, 2))(paddle.ones([1, 1, 1, 4]))
    np.testing.assert_allclose(pooled.numpy().ravel(), [3 / 5, 4 / 5])


def test_bi_attention_is_a_weighted_mean():
    fusion = BiAttentionFusion(2)
    fusion.weight_conv.weight.set_value(paddle.ones([1, 2, 1, 1]))
    a, b = paddle.to_tensor([1.0, 3.0]).reshape([1, 2, 1, 1]), paddle.to_tensor([-5.0, 1.0]).reshape([1, 2, 1, 1])
    alpha = 1 / (1 + np.exp(-4.0))  # ReLU leaves 0 + 4 of the sums -4 and 4
    np.testing.assert_allclose(
        fusion(a, b).numpy().ravel(), [alpha - 5 * (1 - alpha), 3 * alpha + (1 - alpha)], rtol=1e-5
    )


def test_branches_that_add_depend_on_the_branches_before():
    x = paddle.randn([1, 8, 9, 9])
    for cls, depends in ((SPPFTAB, False), (SPPFTABAdd, True)):
        module = cls(8, 4, 6)
        module.eval()
        before = module.pyramid(x, None)
        weight = module.branches[0][0][1][2].weight
        weight.set_value(weight + 1)
        after = module.pyramid(x, None)
        assert not np.allclose(before[0], after[0])
        assert [not np.allclose(b, a) for b, a in zip(before[1:], after[1:])] == [depends, depends]


def test_unknown_tab_is_named():
    with pytest.raises(ValueError, match="tab is '5x5'; expected one of"):
        SPPFTAB(tab="5x5")


def test_a_network_without_backbone_is_told(tmp_path):
    config = write_config(write_dataset(tmp_path / "data", count=1))
    with pytest.raises(UserError, match="config.yml: BiSeNetV2 has no backbone: give the YAML of a SANet"):
        run_tool("context_table", config=config)


@pytest.mark.slow
def test_table_of_all_modules(tmp_path, capsys):
    config = ROOT / "configs" / "sanet" / "sanet_s_camvid_320x240_2k.yml"
    run_tool("context_table", config=config, runs=1, image_size=[64, 64], save_dir=tmp_path)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ") and ":--" not in line]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert [row[0] for row in rows] == ["context", *MODULES]
    assert rows[1][1] == "2.50" and rows[1][4] == "8.26"
    written = json.loads((tmp_path / "context_table.json").read_text())["modules"]
    assert [f"{module['module: parameters, M']:.2f}" for module in written] == [row[1] for row in rows[1:]]
