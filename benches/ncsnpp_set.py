"""A small NCSN++ as a set of weights, of random numbers, for `cargo bench --bench images -- ncsnpp`:

    python benches/ncsnpp_set.py /tmp/ncsnpp-32

Speed asks for no trained numbers, and a comparison of two evaluations for none that are small: kernels have unit gain, scales
are about 1, and the last convolution is not 0, as it is before training.
"""
import hashlib
import json
import os
import sys

import numpy as np
from safetensors.numpy import save_file

CHANNELS, MULTIPLIERS, LAYERS, ATTENTION, SIDE = 32, [1, 2, 2, 2], 1, [1], 32
IMAGE = 3
# Standard deviation of the frequencies at which the noise level is told.
SPREAD = 16


def conv(name, inputs, outputs, kernel=3):
    return {f"{name}.weight": (outputs, inputs, kernel, kernel), f"{name}.bias": (outputs,)}


def linear(name, inputs, outputs):
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def norm(name, channels):
    return {f"{name}.weight": (channels,), f"{name}.bias": (channels,)}


def resnet(name, inputs, outputs, shortcut):
    return {
        **norm(f"{name}.norm1", inputs),
        **conv(f"{name}.conv1", inputs, outputs),
        **linear(f"{name}.time_emb_proj", 4 * CHANNELS, outputs),
        **norm(f"{name}.norm2", outputs),
        **conv(f"{name}.conv2", outputs, outputs),
        **(conv(f"{name}.conv_shortcut", inputs, outputs, 1) if shortcut else {}),
    }


def attention(name, channels):
    found = norm(f"{name}.group_norm", channels)
    for layer in ("to_q", "to_k", "to_v", "to_out.0"):
        found.update(linear(f"{name}.{layer}", channels, channels))
    return found


def shapes():
    """Of every parameter, by its name: residual blocks that halve and double, the image told to every level on the way down."""
    found = {
        "time_proj.weight": (CHANNELS,),
        **linear("time_embedding.linear_1", 2 * CHANNELS, 4 * CHANNELS),
        **linear("time_embedding.linear_2", 4 * CHANNELS, 4 * CHANNELS),
        **conv("conv_in", IMAGE, CHANNELS),
    }
    width, told, skips = CHANNELS, IMAGE, [CHANNELS]
    widths = [CHANNELS * multiplier for multiplier in MULTIPLIERS]
    for level, outputs in enumerate(widths):
        name = f"down_blocks.{level}"
        for layer in range(LAYERS):
            found.update(resnet(f"{name}.resnets.{layer}", width, outputs, width != outputs))
            if level in ATTENTION:
                found.update(attention(f"{name}.attentions.{layer}", outputs))
            width = outputs
            skips.append(width)
        if level + 1 < len(widths):
            found.update(resnet(f"{name}.resnet_down", width, width, True))
            found.update(conv(f"{name}.skip_conv", told, width))
            told = width
            skips.append(width)
    found.update(resnet("mid_block.resnets.0", width, width, False))
    found.update(attention("mid_block.attentions.0", width))
    found.update(resnet("mid_block.resnets.1", width, width, False))
    for block, level in enumerate(reversed(range(len(widths)))):
        name, outputs = f"up_blocks.{block}", widths[level]
        for layer in range(LAYERS + 1):
            found.update(resnet(f"{name}.resnets.{layer}", width + skips.pop(), outputs, True))
            width = outputs
        if level in ATTENTION:
            found.update(attention(f"{name}.attentions.0", width))
        if level > 0:
            found.update(resnet(f"{name}.resnet_up", width, width, True))
    found.update(norm("conv_norm_out", width))
    found.update(conv("conv_out", width, IMAGE))
    return found


def numbers(name, shape, random):
    if name == "time_proj.weight":
        found = SPREAD * random.standard_normal(shape)
    elif len(shape) > 1:
        found = random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
    else:
        found = 0.1 * random.standard_normal(shape) + ("norm" in name and name.endswith(".weight"))
    return found.astype(np.float32)


def main():
    [folder] = sys.argv[1:]
    os.makedirs(folder, exist_ok=True)
    random = np.random.default_rng(1)
    save_file({name: numbers(name, shape, random) for name, shape in shapes().items()}, f"{folder}/weights.00.safetensors")
    with open(f"{folder}/weights.00.safetensors", "rb") as file:
        held = file.read()
    described = {"name": "weights.00.safetensors", "bytes": len(held), "sha256": hashlib.sha256(held).hexdigest()}
    song = {"filter": "binomial", "encoder": "residual", "decoder": "standard", "noise": "fourier"}
    architecture = {
        "image_channels": IMAGE, "channels": CHANNELS, "multipliers": MULTIPLIERS, "layers": LAYERS,
        "attention_levels": ATTENTION, "classes": 0, "dropout": 0.0, "learned_variance": False, "groups": 32,
        "style": {"song": song},
    }
    # As Karras et al. have it around such a network.
    manifest = {
        "format": 1, "title": "NCSN++ of random numbers", "architecture": architecture,
        "prediction": {"kind": "karras", "data_std": 0.5}, "input": {"kind": "karras", "data_std": 0.5},
        "time": {"kind": "log_sigma", "factor": 0.25}, "image_size": SIDE, "classes": [], "files": [described],
        "licence": "MIT OR Apache-2.0", "provenance": "Random numbers, for timing.", "fid": None,
    }
    with open(f"{folder}/manifest.json", "w", encoding="utf-8") as file:
        json.dump(manifest, file, indent=2)


if __name__ == "__main__":
    main()
