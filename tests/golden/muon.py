"""Orthogonalised matrices and steps of Muon for tests/program/cli_muon.rs.

Run with python 3.11 and torch 1.13 (Debian's python3-torch; safetensors 0.8.0):

    python tests/golden/muon.py

In double precision, from the definitions: what the rounds of the polynomial do to a matrix is computed from its singular
values, one number each, and not by products of matrices; the momentum is the sum with which the method was published
(https://kellerjordan.github.io/posts/muon), not a mean. No inputs are stored: both sides compute them from names.
"""
import os

import torch
from safetensors.torch import save_file

from numbers_of_names import tensor

HERE = os.path.dirname(os.path.abspath(__file__))
MATRICES = {"tall": (40, 12), "wide": (12, 3, 3, 3), "square": (24, 24), "large": (50, 37), "row": (1, 17), "column": (33, 1)}
RATES = [0.004, 0.012, 0.02, 0.02, 0.01]
# Of the gradients, which differ as gradients do: the length of a step does not depend on them.
LENGTHS = [1e-3, 3.0, 0.3, 1.0, 0.1]
MOMENTUM = 0.95


def orthogonal(matrix):
    matrix = matrix.double().flatten(1)
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    s = s / s.square().sum().sqrt()
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return u @ torch.diag(s) @ v


def main():
    into = {}
    for name, shape in MATRICES.items():
        matrix = tensor(f"matrix {name}", shape)
        into[f"orthogonal/{name}"] = orthogonal(matrix).float()
        value, sums = tensor(f"start {name}", shape).double(), torch.zeros(shape, dtype=torch.float64)
        longer = max(1.0, shape[0] / value[0].numel()) ** 0.5
        for step, (rate, length) in enumerate(zip(RATES, LENGTHS)):
            gradient = tensor(f"gradient {step} {name}", shape).double() * length
            sums = MOMENTUM * sums + gradient
            ahead = gradient + MOMENTUM * sums
            value = value - rate * longer * orthogonal(ahead).reshape(shape)
        into[f"steps/{name}"] = value.float()
    save_file(into, os.path.join(HERE, "muon.safetensors"))


main()
