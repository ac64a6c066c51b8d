"""Numbers that the scripts here and tests/support/unet_weights.rs both compute from names alone, so that none is stored."""
import numpy as np


def hashed(name, count):
    """`count` numbers in [-1, 1) with 24 bits each: a hash of the name (FNV-1a) and a counter (murmur3's finaliser)."""
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


def array(name, shape):
    """Numbers of this shape in single precision."""
    return hashed(name, int(np.prod(shape))).astype(np.float32).reshape(shape)


def tensor(name, shape):
    """The same as torch's."""
    import torch

    return torch.from_numpy(array(name, shape))


def parameter(name, shape):
    """Matrices and kernels of unit gain, scales and tables of them about 1, shifts about 0."""
    import torch

    u = hashed(name, int(np.prod(shape)))
    if name.endswith("embed.weight"):
        u = 0.5 * u + 1.0
    elif len(shape) > 1:
        u = u * np.sqrt(3.0 / np.prod(shape[1:]))
    else:
        u = 0.1 * u + (1.0 if name.endswith(("weight", "gamma", "alpha")) else 0.0)
    return torch.from_numpy(u.astype(np.float32).reshape(shape))
