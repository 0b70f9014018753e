"""The tests that every network of this package goes through; a test class inherits them and builds the network."""

import importlib
import sys

import numpy as np
import paddle
import pytest
from deploy_support import pictures, spread_statistics
from reference_support import DATA, image, numbers, parameter

from paddleseg_ext.deploy.exporting import fold_and_compare

STORED = "networks"  # tests/data/networks.npz: the logits of each network with parameters that follow from their names


def fill(network):
    """Give each parameter and statistic the values that follow from its name and shape."""
    for name, value in network.state_dict().items():
        value.set_value(parameter(name, tuple(value.shape)))
    network.eval()
    return network


def trainable(network):
    return {name: p for name, p in network.named_parameters() if not p.stop_gradient}


class NetworkTester:
    """Shapes, odd sizes, gradients, files, export, folding and parity of one network.

    `build` makes it, small, with random parameters; `training_shapes` says what it returns in training. `folded` is the
    number of batch norms that folding removes. `reference_network` is the network, with the names and shapes of this
    one, that the stored logits come from; one's own where there is no other, so that they guard old checkpoints.
    ``python tests/network_tester.py test_module.TestClass`` stores them.
    """

    classes = 5
    folded = 0
    sizes = [(32, 32), (33, 47), (65, 130)]

    def build(self, **arguments):
        raise NotImplementedError

    def training_shapes(self, height, width):
        """Of all outputs for a batch of 2; outputs in pairs count one by one."""
        raise NotImplementedError

    def reference_network(self):
        return self.build()

    def stored_logits(self, network):
        with paddle.no_grad():
            (logits,) = fill(network)(paddle.to_tensor(image(type(self).__name__, (2, 3, 64, 96))))
        return logits.numpy()[:, :, ::4, ::4]

    def store(self):
        arrays = numbers(STORED) if (DATA / f"{STORED}.npz").is_file() else {}
        arrays[type(self).__name__] = self.stored_logits(self.reference_network())
        np.savez_compressed(DATA / f"{STORED}.npz", **arrays)

    def test_sizes(self):
        network = self.build()
        for height, width in self.sizes:
            x = paddle.randn([2, 3, height, width])
            network.train()
            outputs = paddle.utils.flatten(network(x))
            assert [tuple(output.shape) for output in outputs] == self.training_shapes(height, width)
            network.eval()
            (logits,) = network(x)
            assert logits.shape == [2, self.classes, height, width]
            assert paddle.isfinite(logits).all()

    def test_every_parameter_learns(self):
        paddle.seed(0)
        network = self.build()
        before = {name: p.numpy().copy() for name, p in trainable(network).items()}
        optimizer = paddle.optimizer.SGD(0.1, parameters=network.parameters())
        sum(output.square().mean() for output in paddle.utils.flatten(network(paddle.randn([2, 3, 65, 97])))).backward()
        assert [name for name, p in trainable(network).items() if p.grad is None] == []
        optimizer.step()
        assert [name for name, p in trainable(network).items() if np.array_equal(p.numpy(), before[name])] == []

    @pytest.mark.parametrize("way", ["set_state_dict", "pretrained"])
    def test_saved_and_loaded(self, tmp_path, way):
        network = spread_statistics(self.build())
        path = str(tmp_path / "model.pdparams")
        paddle.save(network.state_dict(), path)
        if way == "pretrained":
            loaded = self.build(pretrained=path)
        else:
            loaded = self.build()
            assert loaded.set_state_dict(paddle.load(path)) == ([], [])  # missing, unexpected
        network.eval(), loaded.eval()
        x = paddle.randn([1, 3, 33, 47])
        assert np.array_equal(loaded(x)[0].numpy(), network(x)[0].numpy())

    @pytest.mark.parametrize("shape", [(None, 3, None, None), (1, 3, 65, 40)], ids=["dynamic", "fixed"])
    def test_exported(self, tmp_path, shape):
        paddle.seed(0)
        network = spread_statistics(self.build())
        network.eval()
        sizes = [(1, 3, 64, 96), (2, 3, 33, 50)] if shape[0] is None else [shape]
        inputs = [paddle.randn(size) for size in sizes]
        expected = [network(x)[0].numpy() for x in inputs]
        static = paddle.jit.to_static(network, input_spec=[paddle.static.InputSpec(list(shape), "float32")])
        paddle.jit.save(static, str(tmp_path / "model"))
        loaded = paddle.jit.load(str(tmp_path / "model"))
        for x, logits in zip(inputs, expected):
            (got,) = paddle.utils.flatten(loaded(x))
            np.testing.assert_allclose(got.numpy(), logits, rtol=1e-4, atol=1e-5 * max(1, np.abs(logits).max()))

    def test_folded(self):
        paddle.seed(0)
        folding, comparison = fold_and_compare(spread_statistics(self.build()), pictures((64, 128)))
        assert len(folding.folded) == self.folded
        assert comparison.passed, str(comparison)

    def test_stored_logits(self):
        expected = numbers(STORED)[type(self).__name__]
        assert np.abs(self.stored_logits(self.build()) - expected).max() <= 1e-4 * np.abs(expected).max()


if __name__ == "__main__":
    module, name = sys.argv[1].rsplit(".", 1)
    getattr(importlib.import_module(module), name)().store()
