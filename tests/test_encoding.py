"""`Encoding` and `EncModule` against float64 NumPy and PaddleSeg's own."""

from contextlib import contextmanager

import numpy as np
import paddle
import pytest
from paddleseg.models import encnet

from paddleseg_ext import EncModule, Encoding

C, K = 12, 5
OUTPUT_GRADIENT = np.random.default_rng(1).standard_normal((2, K, C))


def reference(x, codewords, scale, output_gradient):
    """The definition in float64: x (N, C, H, W) -> (N, K, C), and the gradients of x, codewords and scale."""
    n, c, h, w = x.shape
    x = x.astype("float64").reshape(n, c, h * w).transpose(0, 2, 1)
    residuals = x[:, :, None] - codewords.astype("float64")  # (N, L, K, C)
    distance, scale = (residuals**2).sum(-1), scale.astype("float64")
    assignment = np.exp(scale * distance - (scale * distance).max(-1, keepdims=True))
    assignment /= assignment.sum(-1, keepdims=True)
    output = (assignment[..., None] * residuals).sum(1)

    output_gradient = output_gradient[:, None]  # (N, 1, K, C)
    dassignment = (residuals * output_gradient).sum(-1)
    dlogits = assignment * (dassignment - (assignment * dassignment).sum(-1, keepdims=True))
    dresiduals = assignment[..., None] * output_gradient + (2 * scale * dlogits)[..., None] * residuals
    dx = dresiduals.sum(2).transpose(0, 2, 1).reshape(n, c, h, w)
    return output, dx, -dresiduals.sum((0, 1)), (dlogits * distance).sum((0, 1))


def results(layer, x, output_gradient):
    """The output of the layer and the same gradients as those of `reference`."""
    x = paddle.to_tensor(x, stop_gradient=False)
    output = layer(x)
    output.backward(paddle.to_tensor(output_gradient.astype(layer.codewords.numpy().dtype)))
    return [t.numpy() for t in (output, x.grad, layer.codewords.grad, layer.scale.grad)]


def assert_close(got, expected, tolerance):
    """Within `tolerance` of the largest value, for each of several arrays."""
    for name, a, b in zip(("output", "x", "codewords", "scale"), got, expected):
        assert a.shape == b.shape
        assert np.abs(a - b).max() <= tolerance * max(np.abs(b).max(), 1e-6), name


def encoding_of(codewords, scale):
    layer = Encoding(codewords.shape[1], codewords.shape[0])
    layer.codewords.set_value(codewords)
    layer.scale.set_value(scale)
    return layer


def draw(offset=0.0, spread=1.0, size=(6, 7)):
    """x (2, C, *size), codewords and scales, the first two around `offset`."""
    rng = np.random.default_rng(0)
    x = offset + spread * rng.standard_normal((2, C, *size))
    codewords = offset + rng.standard_normal((K, C))
    scale = rng.uniform(-0.1, 0, K)
    return tuple(a.astype("float32") for a in (x, codewords, scale))


CASES = {
    "ordinary": {},
    "tiny activations": {"spread": 1e-8},
    "large activations": {"spread": 1e4},
    "large shared offset": {"offset": 1e4},
}


@pytest.mark.parametrize("case", CASES)
def test_value_and_gradients_are_those_of_float64(case):
    arrays = draw(**CASES[case])
    got = results(encoding_of(*arrays[1:]), arrays[0], OUTPUT_GRADIENT)
    assert_close(got, reference(*arrays, OUTPUT_GRADIENT), 1e-3)


def test_large_activations_do_not_drown_the_codewords():
    """With equal scales |x|^2 = 1e9 has no say, only the small differences between the codewords have."""
    x, codewords, scale = draw(spread=1e4)
    codewords *= 1e-3
    scale[:] = -0.05
    got = encoding_of(codewords, scale)(paddle.to_tensor(x)).numpy()
    assert_close([got], reference(x, codewords, scale, OUTPUT_GRADIENT), 1e-4)


@pytest.mark.parametrize("size", [(5, 9), (1, 1)])
def test_value_and_gradients_are_paddlesegs(size):
    x, codewords, scale = draw(size=size)
    ours, theirs = encoding_of(codewords, scale), encnet.Encoding(C, K)
    theirs.set_state_dict(ours.state_dict())
    assert_close(results(ours, x, OUTPUT_GRADIENT), results(theirs, x, OUTPUT_GRADIENT), 1e-4)


def test_mixed_precision_is_off_inside(monkeypatch):
    """A CPU has no mixed precision to be seen at work, so look where the matrix products run."""
    enabled, seen = [True], []
    matmul = paddle.matmul

    @contextmanager
    def auto_cast(enable):
        enabled.append(enable)
        yield
        enabled.pop()

    def spied_matmul(*args, **kwargs):
        seen.append(enabled[-1])
        return matmul(*args, **kwargs)

    monkeypatch.setattr(paddle.amp, "auto_cast", auto_cast)
    monkeypatch.setattr(paddle, "matmul", spied_matmul)
    Encoding(C, K)(paddle.zeros((1, C, 3, 3)))
    assert seen == [False, False]


def test_half_input_is_computed_in_float32():
    x, codewords, scale = draw()
    layer = encoding_of(codewords, scale)
    half = paddle.to_tensor(x).astype("float16")
    assert layer(half).dtype == paddle.float32
    assert np.array_equal(layer(half).numpy(), layer(half.astype("float32")).numpy())


def test_double_stays_double():
    x, codewords, scale = draw()
    layer = encoding_of(codewords, scale)
    layer.to(dtype="float64")
    got = results(layer, x.astype("float64"), OUTPUT_GRADIENT)
    assert_close(got, reference(x, codewords, scale, OUTPUT_GRADIENT), 1e-10)


def test_initial_values_lie_where_paddlesegs_do():
    layer = Encoding(100, 50)
    bound = (100 * 50) ** -0.5
    assert 0.9 * bound < float(layer.codewords.abs().max()) <= bound
    assert -1 <= float(layer.scale.min()) < -0.8
    assert -0.2 < float(layer.scale.max()) <= 0


@pytest.mark.parametrize("shape", [(2, C, 9), (2, C + 1, 3, 3), (C, 3, 3)])
def test_wrong_input(shape):
    with pytest.raises(ValueError, match=rf"\(N, {C}, H, W\), got \({', '.join(map(str, shape))}\)"):
        Encoding(C, K)(paddle.zeros(shape))


@pytest.mark.parametrize("channels, num_codes", [(C, 0), (C, -1), (0, K)])
def test_wrong_arguments(channels, num_codes):
    with pytest.raises(ValueError, match=f"channels {channels} and num_codes {num_codes}"):
        Encoding(channels, num_codes)


@pytest.mark.parametrize("training", [True, False])
def test_module_is_paddlesegs(training):
    paddle.seed(0)
    theirs = encnet.EncModule(C, K)
    ours = EncModule(C, K)
    assert ours.set_state_dict(theirs.state_dict()) == ([], [])
    x = paddle.randn((2, C, 6, 5))
    for module in (ours, theirs):
        module.train() if training else module.eval()
    for got, expected in zip(ours(x), theirs(x)):
        np.testing.assert_allclose(got.numpy(), expected.numpy(), atol=1e-5)
    for name, value in theirs.state_dict().items():  # the running statistics too
        np.testing.assert_allclose(ours.state_dict()[name].numpy(), value.numpy(), atol=1e-5)


def test_module_refuses_other_channels():
    with pytest.raises(ValueError, match=str(C + 1)):
        EncModule(C, K)(paddle.zeros((1, C + 1, 4, 4)))


def test_batch_norm_over_codes_becomes_synchronous():
    """PaddleSeg's training on several GPUs converts; the kernel exists only there, so look at what it would get."""
    module = EncModule(C, K)
    names = list(module.state_dict())
    module = paddle.nn.SyncBatchNorm.convert_sync_batchnorm(module)
    norm = module.encoding[1]
    norm._check_data_format()
    assert isinstance(norm, paddle.nn.SyncBatchNorm)
    assert norm._data_format == "NCHW"  # axis 1 of (N, K, C): the codes
    assert norm.weight.shape == [K]
    assert list(module.state_dict()) == names
