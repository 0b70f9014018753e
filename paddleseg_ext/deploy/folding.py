"""Batch norms folded into the convolutions beside them.

In evaluation a batch norm is y = a·x + b for each channel. After a convolution, conv then a·x + b is a convolution
with scaled kernels and another bias; before one, a·x + b then conv is too, if no zero padding comes between.
Which layers follow one another is found by running the network, not by the order of its attributes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import paddle
from paddle import nn

_CONVOLUTIONS = (nn.Conv2D, nn.Conv2DTranspose)
_BATCH_NORMS = (nn.BatchNorm2D, nn.SyncBatchNorm, nn.BatchNorm)


@dataclass
class Folding:
    """Names of batch norms: `folded` with the convolution each went into, `kept` with the reason for each."""

    folded: dict[str, str] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)

    def __str__(self):
        lines = [f"{len(self.folded)} batch norms folded, {len(self.kept)} kept"]
        reasons = Counter(self.kept.values())
        lines += [f"  {count} kept: {reason}" for reason, count in reasons.most_common()]
        return "\n".join(lines)


@paddle.no_grad()
def fold_batch_norms(network: nn.Layer, example: paddle.Tensor) -> Folding:
    """Fold every batch norm for which that is exact, in place; afterwards the network is good for evaluation only.

    Args:
        example: an image (N, C, H, W) to run.
    """
    network.eval()
    names = {layer: name for name, layer in network.named_sublayers()}
    pairs, result = _neighbours(network, names, example)
    for norm in (layer for pair in pairs for layer in pair if isinstance(layer, _BATCH_NORMS)):
        result.kept[names[norm]] = "what lies between it and the convolution is used elsewhere too"
    for first, second in _private(network, pairs, example):
        if isinstance(second, _BATCH_NORMS):
            convolution, norm = first, second
            _fold_after(convolution, norm)
        else:
            norm, convolution = first, second
            _fold_before(norm, convolution)
        result.folded[names[norm]] = names[convolution]
        _replace(network, norm)
        del result.kept[names[norm]]
    return result


def _neighbours(network, names, example):
    """Foldable pairs (convolution, batch norm) or (batch norm, convolution), the second taking what the first returns.

    Also a `Folding` that says why batch norms are in no pair.
    """
    calls: Counter[nn.Layer] = Counter()
    producers: dict[int, nn.Layer] = {}  # id of a tensor -> the layer that returned it
    alive: list[paddle.Tensor] = []  # keeps the tensors, so that no id is used twice
    pairs, result = [], Folding()

    def record(layer, inputs, output):
        calls[layer] += 1
        producer = producers.get(id(inputs[0]))
        if isinstance(producer, _BATCH_NORMS) != isinstance(layer, _BATCH_NORMS) and producer is not None:
            pairs.append((producer, layer))
        producers[id(output)] = layer
        alive.extend((inputs[0], output))

    hooks = [
        layer.register_forward_post_hook(record)
        for layer in names
        if isinstance(layer, (*_CONVOLUTIONS, *_BATCH_NORMS))
    ]
    network(example)
    for hook in hooks:
        hook.remove()

    for layer, name in names.items():
        if isinstance(layer, _BATCH_NORMS):
            result.kept[name] = (
                "no convolution beside it without an operation between (pre-activation)"
                if calls[layer]
                else "evaluation does not run it"
            )
    foldable = []
    for first, second in pairs:
        norm, convolution = (first, second) if isinstance(first, _BATCH_NORMS) else (second, first)
        if calls[first] > 1 or calls[second] > 1:
            result.kept[names[norm]] = "it or the convolution runs more than once"
        elif norm._use_global_stats is False:
            result.kept[names[norm]] = "it uses the batch's statistics in evaluation too"
        elif convolution is second and (isinstance(second, nn.Conv2DTranspose) or _pads(second)):
            result.kept[names[norm]] = "the convolution after it pads with zeros"
        else:
            foldable.append((first, second))
    return foldable, result


def _pads(convolution) -> bool:
    padding = convolution._padding
    return padding != "VALID" if isinstance(padding, str) else bool(np.any(padding))


def _private(network, pairs, example):
    """The pairs whose value in between no other layer reads, each batch norm at most once.

    The first layer returns NaN and the second one is given the true value: if another layer reads what lies
    between (or changed it in place), the network's output is no longer the same.
    """
    taken, unique = set(), []
    for first, second in sorted(pairs, key=lambda pair: not isinstance(pair[0], _CONVOLUTIONS)):
        norm = second if isinstance(second, _BATCH_NORMS) else first
        if norm not in taken:
            taken.add(norm)
            unique.append((first, second))

    reference = _outputs(network, example)

    def same_when_poisoned(some):
        hooks, hidden = [], {}

        def poison(layer, inputs, output):
            hidden[layer] = output
            return paddle.full_like(output, float("nan"))

        for first, second in some:
            hooks.append(first.register_forward_post_hook(poison))
            hooks.append(second.register_forward_pre_hook(lambda _, inputs, first=first: (hidden[first],)))
        outputs = _outputs(network, example)
        for hook in hooks:
            hook.remove()
        return all(np.array_equal(a, b) for a, b in zip(reference, outputs))

    if same_when_poisoned(unique):
        return unique
    return [pair for pair in unique if same_when_poisoned([pair])]


def _outputs(network, example):
    return [output.numpy() for output in network(example)]


def _affine(norm):
    """Scale and shift per channel in float64."""
    variance, mean = (np.asarray(t.numpy(), np.float64) for t in (norm._variance, norm._mean))
    scale = 1 / np.sqrt(variance + norm._epsilon)
    if norm.weight is not None:
        scale = scale * norm.weight.numpy()
    shift = -mean * scale
    if norm.bias is not None:
        shift = shift + norm.bias.numpy()
    return scale, shift


def _bias(convolution, channels):
    return np.zeros(channels) if convolution.bias is None else convolution.bias.numpy().astype(np.float64)


def _set(convolution, weight, bias):
    convolution.weight.set_value(weight.astype(np.float32))
    if convolution.bias is None:
        convolution.bias = convolution.create_parameter([len(bias)], is_bias=True)
    convolution.bias.set_value(bias.astype(np.float32))


def _fold_after(convolution, norm):
    scale, shift = _affine(norm)
    weight = convolution.weight.numpy().astype(np.float64)
    if isinstance(convolution, nn.Conv2DTranspose):  # (in, out / groups, h, w)
        groups = convolution._groups
        grouped = weight.reshape(groups, -1, *weight.shape[1:]) * scale.reshape(groups, 1, -1, 1, 1)
        weight = grouped.reshape(weight.shape)
    else:  # (out, in / groups, h, w)
        weight = weight * scale[:, None, None, None]
    _set(convolution, weight, _bias(convolution, len(scale)) * scale + shift)


def _fold_before(norm, convolution):
    scale, shift = _affine(norm)
    weight = convolution.weight.numpy().astype(np.float64)  # (out, in / groups, h, w)
    out_channels, in_channels = weight.shape[:2]
    groups = convolution._groups
    # the input channels that each output channel sees
    seen = np.arange(groups * in_channels).reshape(groups, in_channels).repeat(out_channels // groups, axis=0)
    bias = _bias(convolution, out_channels) + (weight.sum((2, 3)) * shift[seen]).sum(1)
    _set(convolution, weight * scale[seen][:, :, None, None], bias)


def _replace(network, norm):
    for parent in network.sublayers(include_self=True):
        for name, child in parent._sub_layers.items():
            if child is norm:
                parent._sub_layers[name] = nn.Identity()
