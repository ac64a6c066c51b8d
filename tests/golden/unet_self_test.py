"""The numbers of the page's self-test, src/engine/images/self_test.bin, by diffusers, and for Song et al.'s network by
song_reference.py. Run as unet_reference.py:

    python tests/golden/unet_self_test.py
"""
import os

import numpy as np
import torch

import song_reference
from numbers_of_names import parameter, tensor
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


class OurNames(song_reference.Weights):
    """Parameters that follow from the names that they have in src/nn/unet, for two levels of one block of images of SIDE."""

    BLOCK = {"norm0": "norm1", "conv0": "conv1", "affine": "time_emb_proj", "norm1": "norm2", "conv1": "conv2",
             "skip": "conv_shortcut", "norm2": "group_norm", "proj": "to_out.0"}
    PLACES = {"enc.8x8_block0": "down_blocks.0.resnets.0", "enc.4x4_down": "down_blocks.0.resnet_down",
              "enc.4x4_block0": "down_blocks.1.resnets.0", "dec.4x4_in0": "mid_block.resnets.0",
              "dec.4x4_in1": "mid_block.resnets.1", "dec.4x4_block0": "up_blocks.0.resnets.0",
              "dec.4x4_block1": "up_blocks.0.resnets.1", "dec.8x8_up": "up_blocks.0.resnet_up",
              "dec.8x8_block0": "up_blocks.1.resnets.0", "dec.8x8_block1": "up_blocks.1.resnets.1"}
    ATTENTIONS = {"enc.4x4_block0": "down_blocks.1.attentions.0", "dec.4x4_in0": "mid_block.attentions.0",
                  "dec.4x4_block1": "up_blocks.0.attentions.0"}
    WHOLE = {"map_noise.freqs": "time_proj.weight", "map_layer0": "time_embedding.linear_1",
             "map_layer1": "time_embedding.linear_2", "enc.8x8_conv": "conv_in", "dec.8x8_aux_norm": "conv_norm_out",
             "dec.8x8_aux_conv": "conv_out", "enc.4x4_aux_residual": "down_blocks.0.skip_conv"}

    def __call__(self, name, *shape):
        if name in self.WHOLE:
            return parameter(self.WHOLE[name], shape)
        layer, kind = name.rsplit(".", 1)
        if layer in self.WHOLE:
            return parameter(f"{self.WHOLE[layer]}.{kind}", shape)
        place, layer = layer.rsplit(".", 1)
        if layer == "qkv":
            # One channel's query, key and value stand together; matrices are matrices here, not kernels of size 1.
            third = (shape[0] // 3, *shape[1:2])
            parts = [parameter(f"{self.ATTENTIONS[place]}.to_{which}.{kind}", third) for which in "qkv"]
            return torch.stack(parts, 1).reshape(shape)
        if layer == "proj":
            return parameter(f"{self.ATTENTIONS[place]}.to_out.0.{kind}", shape[:2]).reshape(shape)
        places = self.ATTENTIONS if layer == "norm2" else self.PLACES
        return parameter(f"{places[place]}.{self.BLOCK[layer]}.{kind}", shape)


def main():
    plain = network(16, (1, 2), 1, (1,), groups=8, size=SIDE)
    classes = network(16, (1, 2), 1, (0,), groups=8, classes=10, outputs=6, size=SIDE)
    with torch.no_grad():
        first = plain(tensor("input", (2, 3, SIDE, SIDE)), torch.tensor([3.0, 737.0])).sample
        second = classes(tensor("input", (3, 3, SIDE, SIDE)), torch.tensor([-120.5, 0.0, 250.25]),
                         class_labels=torch.tensor([7, 10, 0])).sample
        song = song_reference.Edm(OurNames(), channels=16, multipliers=(1, 2), layers=1, attended=(1,), outputs=3,
                                  **song_reference.NCSN_PP)
        third = song(tensor("input", (2, 3, SIDE, SIDE)), torch.tensor([-0.9, 1.1]))
        fourth = ddim(plain, tensor("noise", (2, 3, SIDE, SIDE)).double(), 5)
    numbers = np.concatenate([part.numpy().astype("<f4").ravel() for part in (first, second, third, fourth)])
    numbers.tofile(os.path.join(HERE, "../../src/engine/images/self_test.bin"))


if __name__ == "__main__":
    main()
