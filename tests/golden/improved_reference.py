"""Numbers of improved-diffusion's U-Net (Nichol and Dhariwal 2021) for tests/engine/nn_improved.rs.

The network is written here from the paper and the layout of the published files: block by block in plain torch, with
the names of those files, independently of src/nn/unet. Run as unet_reference.py:

    python tests/golden/improved_reference.py
"""
import json
import math
import os

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from numbers_of_names import parameter, tensor

HERE = os.path.dirname(os.path.abspath(__file__))

HEADS = 4


class Weights:
    """Parameters that follow from their names, and a record of which there are."""

    def __init__(self):
        self.shapes = {}

    def __call__(self, name, *shape):
        self.shapes[name] = list(shape)
        value = parameter(name, shape)
        return torch.as_tensor(np.asarray(value), dtype=torch.float32).reshape(shape)


def conv(w, name, x, outputs, size=3, **options):
    weight = w(f"{name}.weight", outputs, x.shape[1], size, size)
    return F.conv2d(x, weight, w(f"{name}.bias", outputs), **options)


def norm(w, name, x):
    channels = x.shape[1]
    return F.group_norm(x, 32, w(f"{name}.weight", channels), w(f"{name}.bias", channels), eps=1e-5)


def linear(w, name, x, outputs):
    return F.linear(x, w(f"{name}.weight", outputs, x.shape[1]), w(f"{name}.bias", outputs))


def embedding(w, times, channels):
    half = channels // 2
    angle = times[:, None] * torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32) / half)[None]
    h = torch.cat([angle.cos(), angle.sin()], 1)
    return linear(w, "time_embed.2", F.silu(linear(w, "time_embed.0", h, 4 * channels)), 4 * channels)


def residual(w, name, x, emb, outputs):
    h = conv(w, f"{name}.in_layers.2", F.silu(norm(w, f"{name}.in_layers.0", x)), outputs, padding=1)
    scale, shift = linear(w, f"{name}.emb_layers.1", F.silu(emb), 2 * outputs)[:, :, None, None].chunk(2, 1)
    h = norm(w, f"{name}.out_layers.0", h) * (1 + scale) + shift
    h = conv(w, f"{name}.out_layers.3", F.silu(h), outputs, padding=1)
    if x.shape[1] != outputs:
        x = conv(w, f"{name}.skip_connection", x, outputs, size=1)
    return x + h


def attention(w, name, x):
    batch, channels, height, width = x.shape
    flat = norm(w, f"{name}.norm", x).reshape(batch, channels, -1)
    qkv = F.conv1d(flat, w(f"{name}.qkv.weight", 3 * channels, channels, 1), w(f"{name}.qkv.bias", 3 * channels))
    size = channels // HEADS
    results = []
    for head in range(HEADS):
        # The rows of a head stand together: its queries, its keys, its values.
        q, k, v = qkv[:, 3 * size * head:3 * size * (head + 1)].split(size, 1)
        weight = torch.softmax((q * size**-0.25).transpose(1, 2) @ (k * size**-0.25), 2)
        results.append((weight @ v.transpose(1, 2)).transpose(1, 2))
    h = F.conv1d(torch.cat(results, 1), w(f"{name}.proj_out.weight", channels, channels, 1),
                 w(f"{name}.proj_out.bias", channels))
    return x + h.reshape(x.shape)


def unet(w, x, times, channels, multipliers, layers, attended, outputs):
    emb = embedding(w, times, channels)
    h = conv(w, "input_blocks.0.0", x, channels, padding=1)
    skips, index = [h], 1
    for level, multiplier in enumerate(multipliers):
        for _ in range(layers):
            h = residual(w, f"input_blocks.{index}.0", h, emb, channels * multiplier)
            if level in attended:
                h = attention(w, f"input_blocks.{index}.1", h)
            skips.append(h)
            index += 1
        if level + 1 < len(multipliers):
            h = conv(w, f"input_blocks.{index}.0.op", h, h.shape[1], stride=2, padding=1)
            skips.append(h)
            index += 1
    h = residual(w, "middle_block.0", h, emb, h.shape[1])
    h = attention(w, "middle_block.1", h)
    h = residual(w, "middle_block.2", h, emb, h.shape[1])
    index = 0
    for level, multiplier in reversed(list(enumerate(multipliers))):
        for block in range(layers + 1):
            h = residual(w, f"output_blocks.{index}.0", torch.cat([h, skips.pop()], 1), emb, channels * multiplier)
            place = 1
            if level in attended:
                h = attention(w, f"output_blocks.{index}.1", h)
                place = 2
            if level and block == layers:
                h = F.interpolate(h, scale_factor=2, mode="nearest")
                h = conv(w, f"output_blocks.{index}.{place}.conv", h, h.shape[1], padding=1)
            index += 1
    return conv(w, "out.2", F.silu(norm(w, "out.0", h)), outputs, padding=1)


def main():
    w = Weights()
    with torch.no_grad():
        # Three levels, so that there are upsamplings with attention before them and without.
        output = unet(w, tensor("input", (2, 3, 8, 8)), torch.tensor([3.25, 737.0]), 32, (1, 2, 1), 2, (1,), 6)
    save_file({"output": output.contiguous()}, f"{HERE}/improved_reference.safetensors",
              metadata={"shapes": json.dumps(w.shapes)})
    # The published networks for CIFAR-10, in names and shapes only.
    full = Weights()
    with torch.no_grad():
        unet(full, torch.zeros(1, 3, 8, 8), torch.zeros(1), 128, (1, 2, 2, 2), 3, (1, 2), 6)
    count = sum(int(np.prod(shape)) for shape in full.shapes.values())
    assert count == 52_546_438, count


if __name__ == "__main__":
    main()
