"""The numbers of the page's self-test, src/engine/images/self_test.bin, by diffusers, for Song et al.'s network by
song_reference.py and for Song and Ermon's by refinenet_reference.py. Run as unet_reference.py:

    python tests/golden/unet_self_test.py
"""
import os

import numpy as np
import torch

import refinenet_reference
import song_reference
from numbers_of_names import tensor
from unet_reference import HERE, network

SIDE = 8


def ddim(net, x, steps):
    """Song et al. 2021, equation 12 with sigma = 0, on every `1000 / steps`-th step from 0; the last step gives x_0."""
    kept = np.cumprod(1.0 - np.linspace(1e-4, 0.02, 1000, dtype=np.float64))
    chosen = [i * (1000 // steps) for i in range(steps)][::-1]
    for index, t in enumerate(chosen):
        alpha, sigma = np.sqrt(kept[t]), np.sqrt(1.0 - kept[t])
        noise = net(x.float(), torch.tensor(float(t))).sample.double()
        data = (x - sigma * noise) / alpha
        if index + 1 == len(chosen):
            return data
        s = chosen[index + 1]
        x = np.sqrt(kept[s]) * data + np.sqrt(1.0 - kept[s]) * noise


def main():
    plain = network(16, (1, 2), 1, (1,), groups=8, size=SIDE)
    classes = network(16, (1, 2), 1, (0,), groups=8, classes=10, outputs=6, size=SIDE)
    with torch.no_grad():
        first = plain(tensor("input", (2, 3, SIDE, SIDE)), torch.tensor([3.0, 737.0])).sample
        second = classes(tensor("input", (3, 3, SIDE, SIDE)), torch.tensor([-120.5, 0.0, 250.25]),
                         class_labels=torch.tensor([7, 10, 0])).sample
        song = song_reference.Edm(song_reference.OurNames(), channels=16, multipliers=(1, 2), layers=1, attended=(1,), outputs=3,
                                  **song_reference.NCSN_PP)
        third = song(tensor("input", (2, 3, SIDE, SIDE)), torch.tensor([-0.9, 1.1]))
        told = refinenet_reference.Refine(refinenet_reference.OurNames(), channels=8, levels=10)
        fourth = told(tensor("input", (2, 3, SIDE, SIDE)), torch.tensor([3, 8]))
        # This project's output is the score times the noise level.
        fourth *= torch.tensor([0.01 ** (level / 9) for level in (3, 8)])[:, None, None, None]
        untold = refinenet_reference.Refine(refinenet_reference.OurNames(), channels=8)
        fifth = untold(tensor("input", (2, 3, SIDE, SIDE)))
        sixth = ddim(plain, tensor("noise", (2, 3, SIDE, SIDE)).double(), 5)
    numbers = np.concatenate([part.numpy().astype("<f4").ravel() for part in (first, second, third, fourth, fifth, sixth)])
    numbers.tofile(os.path.join(HERE, "../../src/engine/images/self_test.bin"))


if __name__ == "__main__":
    main()
