"""Perceptrons of PyTorch for the golden scripts beside this one, with numbers that are exact in single precision."""

import torch


def rounded(tensor):
    """A number that is exact in single precision, so that both sides compute with the same."""
    return tensor.mul(1024).round().div(1024)


def numbers(tensor):
    return [float(f"{v:.9g}") for v in tensor.detach().flatten().tolist()]


def perceptron(inputs, width, depth, outputs, activation):
    """The parameters of a perceptron with so many hidden layers, layer by layer, and its function."""
    sizes = [inputs] + [width] * depth + [outputs]
    layers = [
        (rounded(torch.randn(a, b) / a**0.5).requires_grad_(True), rounded(torch.randn(b)).requires_grad_(True))
        for a, b in zip(sizes, sizes[1:])
    ]

    def forward(h):
        for i, (weight, bias) in enumerate(layers):
            h = h @ weight + bias
            if i < depth:
                h = activation(h)
        return h

    return [p for layer in layers for p in layer], forward
