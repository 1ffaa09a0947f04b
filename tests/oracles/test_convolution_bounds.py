"""Bounds of convolutional networks against dense matrices, in numpy, and the corners of the box.

The released code of 2021 counted the center of a convolution twice and ignored stride and padding.
"""

import itertools

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from certibayes import registry
from certibayes.bounds import BallAround, interval_bounds, linear_bounds
from certibayes.config.networks import CNN, AnyNetwork, Convolution, Pool
from certibayes.seeding import generator
from certibayes.threat import Ball

NETWORKS = {
    "plain": (Convolution(filters=3, kernel=2),),
    "stride": (Convolution(filters=3, kernel=3, stride=2),),
    "padding": (Convolution(filters=2, kernel=3, padding=2),),
    "stride padding": (
        Convolution(filters=3, kernel=2, stride=2, padding=1),
        Convolution(filters=2, kernel=3, stride=3, padding=1),
    ),
    "max": (Convolution(filters=3, kernel=2), Pool(pool=2), Convolution(filters=4, kernel=2)),
    "mean": (Convolution(filters=3, kernel=2), Pool(pool=3, by="average")),
}
CHANNELS, SIDE = 2, 6


def built(layers, channels=CHANNELS, side=SIDE, hidden=(7,)):
    torch.manual_seed(0)
    spec = CNN(channels=channels, layers=layers, hidden=hidden)
    network = registry.load("network", "cnn")(spec, channels * side**2, 3)
    return network.double().requires_grad_(False)


def matrix_of(layer, before):
    """Return the matrix and the bias of an affine layer, from its definition, pixel by pixel."""
    channels, side = before[0], before[1]
    if isinstance(layer, nn.AvgPool2d):
        k = layer.kernel_size
        weight = np.zeros((channels, channels, k, k))
        for c in range(channels):
            weight[c, c] = 1 / k**2
        bias, stride, padding = np.zeros(channels), k, 0
    else:
        weight, bias = layer.weight.numpy(), layer.bias.numpy()
        k, stride, padding = weight.shape[-1], layer.stride[0], layer.padding[0]
    out = (side + 2 * padding - k) // stride + 1
    matrix = np.zeros((len(weight), out, out, channels, side, side))
    for i, j, a, b in itertools.product(range(out), range(out), range(k), range(k)):
        row, column = i * stride + a - padding, j * stride + b - padding
        if 0 <= row < side and 0 <= column < side:
            matrix[:, i, j, :, row, column] += weight[:, :, a, b]
    return (
        matrix.reshape(len(weight) * out**2, -1),
        np.repeat(bias, out**2),
        (len(weight), out),
    )


def dense_bounds(network, lower, upper):
    """Center and radius through dense matrices; a maximum over windows by loops."""
    shape = None
    for layer in network:
        if isinstance(layer, nn.Unflatten):
            shape = layer.unflattened_size[:2]
        elif isinstance(layer, nn.ReLU):
            lower, upper = np.maximum(lower, 0), np.maximum(upper, 0)
        elif isinstance(layer, nn.MaxPool2d):
            k, out = layer.kernel_size, shape[1] // layer.kernel_size
            ends = []
            for end in (lower, upper):
                image = end.reshape(len(end), *shape, shape[1])
                best = np.full((len(end), shape[0], out, out), -np.inf)
                for i, j in itertools.product(range(out * k), range(out * k)):
                    best[:, :, i // k, j // k] = np.maximum(
                        best[:, :, i // k, j // k], image[:, :, i, j]
                    )
                ends.append(best.reshape(len(end), -1))
            (lower, upper), shape = ends, (shape[0], out)
        elif not isinstance(layer, nn.Flatten):
            if isinstance(layer, nn.Linear):
                matrix, bias = layer.weight.numpy(), layer.bias.numpy()
            else:
                matrix, bias, shape = matrix_of(layer, shape)
            center = (lower + upper) / 2 @ matrix.T + bias
            radius = (upper - lower) / 2 @ np.abs(matrix).T
            lower, upper = center - radius, center + radius
    return lower, upper


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("epsilon", [0.0, 0.02, 0.3])
def test_interval_bounds_are_those_of_dense_matrices(name, epsilon):
    network = built(NETWORKS[name])
    x = torch.rand(4, CHANNELS * SIDE**2, generator=generator("x"), dtype=torch.float64)
    ball = Ball("linf", torch.full((x.shape[1],), epsilon, dtype=torch.float64), (0.0, 1.0))
    found = interval_bounds(network, BallAround(x, ball))
    ends = (x - epsilon).clamp(0, 1).numpy(), (x + epsilon).clamp(0, 1).numpy()
    lower, upper = dense_bounds(network, *ends)
    np.testing.assert_allclose(found.lower, lower, atol=1e-12)
    np.testing.assert_allclose(found.upper, upper, atol=1e-12)
    if epsilon == 0:
        np.testing.assert_allclose(found.lower, network(x), atol=1e-12)


@pytest.mark.parametrize("layer", [Convolution(filters=2, kernel=2, stride=2, padding=1)])
def test_corners_of_the_box_attain_the_bounds_of_one_convolution(layer):
    """All 2^9 corners; in front of an activation the bounds of every output are attained."""
    network = nn.Sequential(*list(built((layer,), channels=1, side=3))[:2])
    x = torch.rand(1, 9, generator=generator("x"), dtype=torch.float64)
    signs = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=9)), dtype=torch.float64)
    outputs = network(x + 0.1 * signs)
    ball = BallAround(x, Ball("linf", torch.full((9,), 0.1, dtype=torch.float64)))
    for found in (interval_bounds(network, ball), linear_bounds(network, ball)):
        torch.testing.assert_close(found.lower[0], outputs.amin(0))
        torch.testing.assert_close(found.upper[0], outputs.amax(0))


@pytest.mark.parametrize("tightening", [None, False])
def test_no_corner_escapes_the_bounds_of_a_pooled_network(tightening):
    layers = (Convolution(filters=2, kernel=2, padding=1), Pool(pool=2))
    network = built(layers, channels=1, side=3, hidden=(4,))
    x = torch.rand(1, 9, generator=generator("x"), dtype=torch.float64)
    signs = torch.tensor(list(itertools.product((-1.0, 0.0, 1.0), repeat=9)), dtype=torch.float64)
    ball = BallAround(x, Ball("linf", torch.full((9,), 0.2, dtype=torch.float64)))
    bounds = (
        interval_bounds(network, ball)
        if tightening is None
        else linear_bounds(network, ball, tightening=tightening)
    )
    assert bounds.contains(network(x + 0.2 * signs), 1e-12).all()


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["wicker2021_small", "wicker2021_medium"])
def test_no_attack_escapes_the_bounds_of_the_cifar_networks_of_2021(preset):
    torch.manual_seed(0)
    spec = TypeAdapter(AnyNetwork).validate_python({"kind": "cnn", "preset": preset})
    network = registry.load("network", "cnn")(spec, 3072, 10).double().requires_grad_(False)
    x = torch.rand(4, 3072, generator=generator("x"), dtype=torch.float64)
    ball = Ball("linf", torch.full((3072,), 2 / 255, dtype=torch.float64), (0.0, 1.0))
    bounds = interval_bounds(network, BallAround(x, ball))
    margin = network(x).topk(2).indices
    point = ball.sample(x, generator("start"))
    for _ in range(40):
        point = point.requires_grad_()
        logits = network(point)
        assert bounds.contains(logits, 1e-9).all()
        ends = logits.gather(1, margin)
        (gradient,) = torch.autograd.grad((ends[:, 1] - ends[:, 0]).sum(), point)
        point = ball.project(x, point.detach() + 0.2 * ball.steepest(gradient))
