"""Checkpoints as they are published, small enough to be kept: for tests/engine/nn_improved.rs and tests/e2e/weights.rs.

The networks have 32 channels in 32 groups, as those that are published have at least, and one level. Run as
unet_reference.py:

    python tests/golden/checkpoint_small.py
"""
import collections

import numpy as np
import torch

from improved_reference import Weights, unet
from unet_reference import HERE, hashed, network, pesser, tensor


def coarse(name, shape):
    """As `parameter` of unet_reference.py, of sixteen values, so that the files can be packed small."""
    u = np.floor(8 * hashed(name, int(np.prod(shape)))) / 8
    u = u * np.sqrt(3.0 / np.prod(shape[1:])) if len(shape) > 1 else 0.1 * u + (1.0 if name.endswith("weight") else 0.0)
    return torch.from_numpy(u.astype(np.float32).reshape(shape)).half()


def ddim():
    """The state dictionary that pesser/pytorch_diffusion publishes as diffusion_cifar10_model.ckpt."""
    state = collections.OrderedDict()
    for name, value in network(32, (1,), 1, ()).state_dict().items():
        square = ".attentions." in name and value.ndim == 2
        shape = tuple(value.shape) + ((1, 1) if square else ())
        state[pesser(name, 0)] = coarse(pesser(name, 0), shape)
    return state


def improved():
    """The one that improved-diffusion publishes as cifar10_uncond_50M_500K.pt: learned variance, heads of attention."""
    weights = Weights()
    with torch.no_grad():
        unet(weights, tensor("input", (1, 3, 8, 8)), torch.zeros(1), 32, (1,), 1, (), 6)
    return collections.OrderedDict((name, coarse(name, tuple(shape))) for name, shape in weights.shapes.items())


if __name__ == "__main__":
    torch.save(ddim(), f"{HERE}/small_ddim.ckpt")
    torch.save(improved(), f"{HERE}/small_improved.pt")
