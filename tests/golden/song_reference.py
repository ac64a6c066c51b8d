"""Numbers of the networks of Song et al. 2021 (NCSN++, DDPM++) and of Karras et al. 2022 (EDM) for tests/engine/nn_song.rs.

The networks are written here from the papers and the layout of the published files, in plain torch and with the names of
those files, independently of src/nn/unet: once as EDM names its layers, by resolution, and once as score_sde does, in a row.
Run as unet_reference.py:

    python tests/golden/song_reference.py
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
ROOT = math.sqrt(0.5)


class Weights:
    """Parameters that follow from their names, and a record of which there are."""

    def __init__(self):
        self.shapes = {}

    def __call__(self, name, *shape):
        self.shapes[name] = list(shape)
        return torch.as_tensor(np.asarray(parameter(name, shape)), dtype=torch.float32).reshape(shape)

    def fixed(self, name, value):
        """A table that is not learned."""
        self.shapes[name] = list(value.shape)


def groups(channels):
    return min(32, channels // 4)


def norm(w, name, x):
    channels = x.shape[1]
    return F.group_norm(x, groups(channels), w(f"{name}.weight", channels), w(f"{name}.bias", channels), eps=1e-6)


def conv(w, name, x, outputs, size=3, **options):
    weight = w(f"{name}.weight", outputs, x.shape[1], size, size)
    return F.conv2d(x, weight, w(f"{name}.bias", outputs), padding=size // 2, **options)


def linear(w, name, x, outputs):
    return F.linear(x, w(f"{name}.weight", outputs, x.shape[1]), w(f"{name}.bias", outputs))


def taps(filter):
    f = torch.tensor(filter, dtype=torch.float32)
    f = f / f.sum()
    return f[:, None] * f[None, :]


def halve(x, filter):
    """Means of the filter at every second pixel, with zeros beyond the edges."""
    f, channels = taps(filter), x.shape[1]
    pad = (f.shape[0] - 2) // 2
    return F.conv2d(x, f.expand(channels, 1, *f.shape), stride=2, padding=pad, groups=channels)


def double(x, filter):
    """Pixels with zeros between them, then the filter, four times as large."""
    f, channels = taps(filter), x.shape[1]
    spread = torch.zeros(x.shape[0], channels, 2 * x.shape[2], 2 * x.shape[3])
    spread[:, :, ::2, ::2] = x
    before = f.shape[0] // 2
    spread = F.pad(spread, [before, before - 1] * 2)
    return 4 * F.conv2d(spread, f.expand(channels, 1, *f.shape), groups=channels)


def positional(times, channels):
    half = channels // 2
    angle = times[:, None] * torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32) / (half - 1))[None]
    return torch.cat([angle.sin(), angle.cos()], 1)


def fourier(times, frequencies):
    angle = 2 * math.pi * times.double()[:, None] * frequencies.double()[None]
    return torch.cat([angle.sin(), angle.cos()], 1).float()


def attend(q, k, v):
    """Of all pixels, [images, channels, pixels]."""
    weight = torch.softmax(q.transpose(1, 2) @ k / math.sqrt(q.shape[1]), 2)
    return (weight @ v.transpose(1, 2)).transpose(1, 2)


class Edm:
    """SongUNet."""

    def __init__(self, w, channels, multipliers, layers, attended, outputs, encoder, decoder, filter, noise, classes=0):
        self.w, self.channels, self.multipliers, self.layers = w, channels, multipliers, layers
        self.attended, self.outputs, self.encoder, self.decoder = attended, outputs, encoder, decoder
        self.filter, self.noise, self.classes = filter, noise, classes

    def block(self, name, x, emb, outputs, how=None, attention=False):
        w = self.w
        h = F.silu(norm(w, f"{name}.norm0", x))
        change = {None: lambda x: x, "down": lambda x: halve(x, self.filter), "up": lambda x: double(x, self.filter)}[how]
        h = conv(w, f"{name}.conv0", change(h), outputs)
        h = h + linear(w, f"{name}.affine", emb, outputs)[:, :, None, None]
        h = conv(w, f"{name}.conv1", F.silu(norm(w, f"{name}.norm1", h)), outputs)
        if how or x.shape[1] != outputs:
            x = conv(w, f"{name}.skip", change(x), outputs, size=1)
        if how:
            for layer in ("conv0", "skip"):
                w.fixed(f"{name}.{layer}.resample_filter", taps(self.filter)[None, None])
        h = (x + h) * ROOT
        if attention:
            images, channels, height, width = h.shape
            qkv = conv(w, f"{name}.qkv", norm(w, f"{name}.norm2", h), 3 * channels, size=1)
            # The rows of a channel stand together: its query, its key, its value.
            q, k, v = qkv.reshape(images, channels, 3, height * width).unbind(2)
            a = attend(q, k, v).reshape(h.shape)
            h = (conv(w, f"{name}.proj", a, channels, size=1) + h) * ROOT
        return h

    def __call__(self, x, times, labels=None):
        w, channels, side = self.w, self.channels, x.shape[2]
        features = channels * (2 if self.noise == "fourier" else 1)
        if self.noise == "fourier":
            emb = fourier(times, w("map_noise.freqs", channels))
        else:
            emb = positional(times, channels)
        if self.classes:
            hot = F.one_hot(labels, self.classes).float() * math.sqrt(self.classes)
            emb = emb + linear(w, "map_label", hot, features)
        emb = F.silu(linear(w, "map_layer0", emb, 4 * channels))
        emb = F.silu(linear(w, "map_layer1", emb, 4 * channels))
        name = lambda level: f"{side >> level}x{side >> level}"
        aux, h = x, conv(w, f"enc.{name(0)}_conv", x, channels)
        skips = [h]
        for level, multiplier in enumerate(self.multipliers):
            if level:
                h = self.block(f"enc.{name(level)}_down", h, emb, h.shape[1], "down")
                if self.encoder == "residual":
                    # The filter after a convolution of the larger image, with as many zeros around as both need.
                    weight = w(f"enc.{name(level)}_aux_residual.weight", h.shape[1], aux.shape[1], 3, 3)
                    bias = w(f"enc.{name(level)}_aux_residual.bias", h.shape[1])
                    w.fixed(f"enc.{name(level)}_aux_residual.resample_filter", taps(self.filter)[None, None])
                    f = taps(self.filter)
                    pad = 1 + (f.shape[0] - 1) // 2
                    aux = F.conv2d(F.pad(aux, [pad] * 4), weight)
                    aux = F.conv2d(aux, f.expand(aux.shape[1], 1, *f.shape), stride=2, groups=aux.shape[1])
                    h = aux = (h + aux + bias[:, None, None]) * ROOT
                if self.encoder == "skip":
                    aux = halve(aux, self.filter)
                    w.fixed(f"enc.{name(level)}_aux_down.resample_filter", taps(self.filter)[None, None])
                    h = h + conv(w, f"enc.{name(level)}_aux_skip", aux, h.shape[1], size=1)
                skips.append(h)
            for layer in range(self.layers):
                h = self.block(f"enc.{name(level)}_block{layer}", h, emb, channels * multiplier, attention=level in self.attended)
                skips.append(h)
        out = None
        for level, multiplier in reversed(list(enumerate(self.multipliers))):
            if level + 1 == len(self.multipliers):
                h = self.block(f"dec.{name(level)}_in0", h, emb, h.shape[1], attention=True)
                h = self.block(f"dec.{name(level)}_in1", h, emb, h.shape[1])
            else:
                h = self.block(f"dec.{name(level)}_up", h, emb, h.shape[1], "up")
            for layer in range(self.layers + 1):
                attention = layer == self.layers and level in self.attended
                h = self.block(f"dec.{name(level)}_block{layer}", torch.cat([h, skips.pop()], 1), emb, channels * multiplier,
                               attention=attention)
            if self.decoder == "skip" or level == 0:
                if out is not None:
                    out = double(out, self.filter)
                    w.fixed(f"dec.{name(level)}_aux_up.resample_filter", taps(self.filter)[None, None])
                part = conv(w, f"dec.{name(level)}_aux_conv", F.silu(norm(w, f"dec.{name(level)}_aux_norm", h)), self.outputs)
                out = part if out is None else out + part
        return out


class ScoreSde:
    """NCSNpp of score_sde, without its division by the noise level."""

    def __init__(self, w, channels, multipliers, layers, attended, outputs, encoder, decoder, filter, noise):
        self.w, self.channels, self.multipliers, self.layers = w, channels, multipliers, layers
        self.attended, self.outputs, self.encoder, self.decoder = attended, outputs, encoder, decoder
        self.filter, self.noise, self.at = filter, noise, 0

    def next(self):
        self.at += 1
        return f"all_modules.{self.at - 1}"

    def block(self, x, emb, outputs, how=None):
        w, name = self.w, self.next()
        change = {None: lambda x: x, "down": lambda x: halve(x, self.filter), "up": lambda x: double(x, self.filter)}[how]
        h = conv(w, f"{name}.Conv_0", change(F.silu(norm(w, f"{name}.GroupNorm_0", x))), outputs)
        h = h + linear(w, f"{name}.Dense_0", F.silu(emb), outputs)[:, :, None, None]
        h = conv(w, f"{name}.Conv_1", F.silu(norm(w, f"{name}.GroupNorm_1", h)), outputs)
        if how or x.shape[1] != outputs:
            x = conv(w, f"{name}.Conv_2", change(x), outputs, size=1)
        return (x + h) * ROOT

    def attention(self, x):
        w, name, (images, channels, height, width) = self.w, self.next(), x.shape
        def nin(which, x):
            # Inputs before outputs.
            weight = w(f"{name}.NIN_{which}.W", channels, channels)
            return torch.einsum("ncp,cd->ndp", x, weight) + w(f"{name}.NIN_{which}.b", channels)[None, :, None]
        h = norm(w, f"{name}.GroupNorm_0", x).reshape(images, channels, -1)
        h = nin(3, attend(nin(0, h), nin(1, h), nin(2, h)))
        return (x + h.reshape(x.shape)) * ROOT

    def __call__(self, x, times):
        w, channels = self.w, self.channels
        if self.noise == "fourier":
            emb = fourier(times, w(f"{self.next()}.W", channels))
        else:
            emb = positional(times, channels)
        emb = linear(w, self.next(), emb, 4 * channels)
        emb = linear(w, self.next(), F.silu(emb), 4 * channels)
        aux, h = x, conv(w, self.next(), x, channels)
        skips = [h]
        for level, multiplier in enumerate(self.multipliers):
            for _ in range(self.layers):
                h = self.block(h, emb, channels * multiplier)
                if level in self.attended:
                    h = self.attention(h)
                skips.append(h)
            if level + 1 < len(self.multipliers):
                h = self.block(h, emb, h.shape[1], "down")
                if self.encoder == "residual":
                    # The filter first, one pixel more than there were, then a convolution without zeros around.
                    name, f = self.next(), taps(self.filter)
                    pad = f.shape[0] // 2
                    aux = F.conv2d(F.pad(aux, [pad] * 4), f.expand(aux.shape[1], 1, *f.shape), groups=aux.shape[1])
                    weight = w(f"{name}.Conv2d_0.weight", h.shape[1], aux.shape[1], 3, 3)
                    aux = F.conv2d(aux, weight, w(f"{name}.Conv2d_0.bias", h.shape[1]), stride=2)
                    h = aux = (h + aux) * ROOT
                if self.encoder == "skip":
                    aux = halve(aux, self.filter)
                    h = h + conv(w, f"{self.next()}.Conv_0", aux, h.shape[1], size=1)
                skips.append(h)
        h = self.block(h, emb, h.shape[1])
        h = self.attention(h)
        h = self.block(h, emb, h.shape[1])
        out = None
        for level, multiplier in reversed(list(enumerate(self.multipliers))):
            for _ in range(self.layers + 1):
                h = self.block(torch.cat([h, skips.pop()], 1), emb, channels * multiplier)
            if level in self.attended:
                h = self.attention(h)
            if self.decoder == "skip" and level:
                part = F.silu(norm(w, self.next(), h))
                part = conv(w, self.next(), part, self.outputs)
                out = double(part if out is None else out + part, self.filter)
            if level:
                h = self.block(h, emb, h.shape[1], "up")
        h = F.silu(norm(w, self.next(), h))
        h = conv(w, self.next(), h, self.outputs)
        return h if out is None else h + out


class OurNames(Weights):
    """Parameters that follow from the names that they have in src/nn/unet, for two levels of one block of images of 8 x 8."""

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

    def make(self, name, shape):
        return parameter(name, shape)

    def __call__(self, name, *shape):
        parameter = self.make
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


class Leaves(OurNames):
    """The same, with derivatives."""

    def __init__(self):
        super().__init__()
        self.leaves = {}

    def make(self, name, shape):
        if name not in self.leaves:
            self.leaves[name] = parameter(name, shape).clone().requires_grad_()
        return self.leaves[name]


def gradients(**config):
    """Of every parameter, by name, the norm of the gradient and its product with numbers that follow from the name."""
    w = Leaves()
    output = Edm(w, channels=16, multipliers=(1, 2), layers=1, attended=(1,), outputs=3, **config)(
        tensor("input", (2, 3, 8, 8)), torch.tensor(TIMES))
    (output * tensor("weights", (2, 3, 8, 8))).sum().backward()
    learned = {name: leaf.grad for name, leaf in w.leaves.items() if name != "time_proj.weight"}
    direction = lambda name, grad: tensor(f"{name} direction", (grad.numel(),))
    return {name: [float(grad.norm()), float(grad.flatten() @ direction(name, grad))] for name, grad in learned.items()}


SMALL = dict(channels=16, multipliers=(1, 2, 2), layers=1, attended=(1,), outputs=3)
DDPM_PP = dict(encoder="standard", decoder="standard", filter=(1, 1), noise="positional")
NCSN_PP = dict(encoder="residual", decoder="standard", filter=(1, 3, 3, 1), noise="fourier")
SKIPS = dict(encoder="skip", decoder="skip", filter=(1, 3, 3, 1), noise="positional")
CASES = {
    "edm_ddpm_pp": (Edm, dict(**SMALL, **DDPM_PP)),
    "edm_ncsn_pp": (Edm, dict(**SMALL, **NCSN_PP)),
    "edm_skips": (Edm, dict(**SMALL, **SKIPS)),
    "edm_classes": (Edm, dict(**SMALL, **DDPM_PP, classes=10)),
    "sde_ddpm_pp": (ScoreSde, dict(**SMALL, **DDPM_PP)),
    "sde_ncsn_pp": (ScoreSde, dict(**SMALL, **NCSN_PP)),
    "sde_skips": (ScoreSde, dict(**SMALL, **SKIPS)),
    # The networks of score_sde for discrete levels count them.
    "sde_counted": (ScoreSde, dict(**SMALL, **dict(NCSN_PP, noise="positional"))),
}
TIMES = (-0.9, 1.1)


def count(network, config, side=32):
    """Parameters, tables that are not learned left out."""
    w = Weights()
    with torch.no_grad():
        labels = [torch.tensor([0])] if config.get("classes") else []
        network(w, **config)(torch.zeros(1, 3, side, side), torch.zeros(1), *labels)
    learned = [s for n, s in w.shapes.items() if not n.endswith(("resample_filter", "map_noise.freqs", ".W")) or ".NIN_" in n]
    return sum(int(np.prod(shape)) for shape in learned)


def main():
    outputs, shapes = {}, {}
    for name, (network, config) in CASES.items():
        w = Weights()
        with torch.no_grad():
            labels = [torch.tensor([3, 8])] if config.get("classes") else []
            output = network(w, **config)(tensor("input", (2, 3, 16, 16)), torch.tensor(TIMES), *labels)
        outputs[name], shapes[name] = output.contiguous(), w.shapes
    of = {"ddpm_pp": gradients(**DDPM_PP), "ncsn_pp": gradients(**NCSN_PP)}
    metadata = {"shapes": json.dumps(shapes), "gradients": json.dumps(of)}
    save_file(outputs, f"{HERE}/song_reference.safetensors", metadata=metadata)
    edm = dict(channels=128, multipliers=(2, 2, 2), layers=4, attended=(1,), outputs=3)
    sde = dict(channels=128, multipliers=(1, 2, 2, 2), layers=4, attended=(1,), outputs=3)
    deep = dict(sde, layers=8)
    for network, config, published in [
        # EDM's also have 9 x 128 (256) numbers to be told how an image was augmented.
        (Edm, dict(**edm, **DDPM_PP), 55_733_891 - 9 * 128),
        (Edm, dict(**edm, **DDPM_PP, classes=10), 55_735_299 - 9 * 128),
        (Edm, dict(**edm, **NCSN_PP), 56_397_827 - 9 * 256),
        (ScoreSde, dict(**sde, **DDPM_PP), None),
        (ScoreSde, dict(**sde, **NCSN_PP), None),
        (ScoreSde, dict(**deep, **DDPM_PP), None),
        (ScoreSde, dict(**deep, **NCSN_PP), None),
    ]:
        found = count(network, config)
        print(network.__name__, config["noise"], config["layers"], found)
        assert published is None or found == published, (found, published)


if __name__ == "__main__":
    main()
