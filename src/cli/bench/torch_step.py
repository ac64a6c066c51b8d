"""The network that `scorefield train` trains, in PyTorch, and the time of a training step and of an evaluation.

    python torch_step.py CHANNELS LAYERS BATCH SECONDS THREADS

prints a line of JSON, in single precision and with what torch computes in bfloat16 where it may (autocast);
`scorefield bench --torch` runs it where Python has torch. tests/golden/image_training.py takes
`UNet` and `EDM` from here: what is timed is what the gradients are compared with.
"""
import json
import math
import sys
import time

import torch
from torch import nn
from torch.nn.functional import interpolate, pad, silu


class UNet(nn.Module):
    """The U-Net of Ho et al. 2020, told the class too. Its layers hang in a tree of the names in diffusers' files."""

    def __init__(self, channels, multipliers=(1, 2, 2, 2), layers=2, attention=(1,), classes=10, outputs=3, groups=32):
        super().__init__()
        self.channels, self.layers, self.levels, self.classes = channels, layers, len(multipliers), classes
        self.groups, wide, width = groups, 4 * channels, channels
        self.put("conv_in", nn.Conv2d(3, channels, 3, padding=1))
        self.put("time_embedding.linear_1", nn.Linear(channels, wide))
        self.put("time_embedding.linear_2", nn.Linear(wide, wide))
        self.put("class_embedding", nn.Embedding(classes + 1, wide))
        kept = [channels]
        for level, multiple in enumerate(multipliers):
            for layer in range(layers):
                self.put_resnet(f"down_blocks.{level}.resnets.{layer}", width, channels * multiple)
                width = channels * multiple
                kept.append(width)
                if level in attention:
                    self.put_attention(f"down_blocks.{level}.attentions.{layer}", width)
            if level + 1 < self.levels:
                self.put(f"down_blocks.{level}.downsamplers.0.conv", nn.Conv2d(width, width, 3, stride=2))
                kept.append(width)
        self.put_resnet("mid_block.resnets.0", width, width)
        self.put_attention("mid_block.attentions.0", width)
        self.put_resnet("mid_block.resnets.1", width, width)
        for block, level in enumerate(reversed(range(self.levels))):
            for layer in range(layers + 1):
                self.put_resnet(f"up_blocks.{block}.resnets.{layer}", width + kept.pop(), channels * multipliers[level])
                width = channels * multipliers[level]
                if level in attention:
                    self.put_attention(f"up_blocks.{block}.attentions.{layer}", width)
            if level > 0:
                self.put(f"up_blocks.{block}.upsamplers.0.conv", nn.Conv2d(width, width, 3, padding=1))
        self.put("conv_norm_out", self.norm(width))
        self.put("conv_out", nn.Conv2d(width, outputs, 3, padding=1))
        self.at = dict(self.named_modules())

    def put(self, name, layer):
        *path, last = name.split(".")
        place = self
        for part in path:
            if part not in place._modules:
                place.add_module(part, nn.Module())
            place = place._modules[part]
        place.add_module(last, layer)

    def norm(self, width):
        return nn.GroupNorm(self.groups, width, eps=1e-6)

    def put_resnet(self, name, before, after):
        self.put(f"{name}.norm1", self.norm(before))
        self.put(f"{name}.conv1", nn.Conv2d(before, after, 3, padding=1))
        self.put(f"{name}.time_emb_proj", nn.Linear(4 * self.channels, after))
        self.put(f"{name}.norm2", self.norm(after))
        self.put(f"{name}.conv2", nn.Conv2d(after, after, 3, padding=1))
        if before != after:
            self.put(f"{name}.conv_shortcut", nn.Conv2d(before, after, 1))

    def put_attention(self, name, width):
        self.put(f"{name}.group_norm", self.norm(width))
        for layer in ("to_q", "to_k", "to_v", "to_out.0"):
            self.put(f"{name}.{layer}", nn.Linear(width, width))

    def resnet(self, name, x, told):
        layer = lambda part: self.at[f"{name}.{part}"]
        h = layer("conv1")(silu(layer("norm1")(x))) + layer("time_emb_proj")(told)[:, :, None, None]
        h = layer("conv2")(silu(layer("norm2")(h)))
        shortcut = self.at.get(f"{name}.conv_shortcut")
        return h + (x if shortcut is None else shortcut(x))

    def attend(self, name, x):
        if f"{name}.group_norm" not in self.at:
            return x
        rows = self.at[f"{name}.group_norm"](x).flatten(2).transpose(1, 2)
        query, key, value = (self.at[f"{name}.{part}"](rows) for part in ("to_q", "to_k", "to_v"))
        weights = (query @ key.transpose(1, 2) / math.sqrt(x.shape[1])).softmax(-1)
        return x + self.at[f"{name}.to_out.0"](weights @ value).transpose(1, 2).reshape(x.shape)

    def forward(self, x, times, labels):
        half = self.channels // 2
        rates = torch.exp(torch.arange(half, device=x.device) * (-math.log(10000.0) / (half - 1)))
        angles = times.float()[:, None] * rates
        told = torch.cat([angles.sin(), angles.cos()], 1).to(x.dtype)
        told = self.at["time_embedding.linear_2"](silu(self.at["time_embedding.linear_1"](told)))
        told = silu(told + self.at["class_embedding"](labels))
        h = self.at["conv_in"](x)
        kept = [h]
        for level in range(self.levels):
            for layer in range(self.layers):
                h = self.resnet(f"down_blocks.{level}.resnets.{layer}", h, told)
                h = self.attend(f"down_blocks.{level}.attentions.{layer}", h)
                kept.append(h)
            if level + 1 < self.levels:
                # TensorFlow's `SAME`: a row of zeros below, a column to the right.
                h = self.at[f"down_blocks.{level}.downsamplers.0.conv"](pad(h, (0, 1, 0, 1)))
                kept.append(h)
        h = self.attend("mid_block.attentions.0", self.resnet("mid_block.resnets.0", h, told))
        h = self.resnet("mid_block.resnets.1", h, told)
        for block in range(self.levels):
            for layer in range(self.layers + 1):
                h = self.resnet(f"up_blocks.{block}.resnets.{layer}", torch.cat([h, kept.pop()], 1), told)
                h = self.attend(f"up_blocks.{block}.attentions.{layer}", h)
            if block + 1 < self.levels:
                h = self.at[f"up_blocks.{block}.upsamplers.0.conv"](interpolate(h, scale_factor=2.0))
        return self.at["conv_out"](silu(self.at["conv_norm_out"](h)))


class EDM:
    """Karras et al. 2022 (arXiv 2206.00364), table 1, for images of standard deviation 0.5."""

    std = 0.5

    @classmethod
    def denoise(cls, net, x, sigma, labels):
        s, spread = sigma.view(-1, 1, 1, 1), cls.std
        total = (s**2 + spread**2).sqrt()
        return x * (spread / total) ** 2 + net(x / total, 100.0 * sigma.log(), labels) * (s * spread / total)

    @classmethod
    def weight(cls, s):
        return (s**2 + cls.std**2) / (s * cls.std) ** 2


def main():
    channels, layers, batch, seconds, threads = map(int, sys.argv[1:6])
    torch.set_num_threads(threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    net = UNet(channels, layers=layers).to(device)
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-4)
    images = torch.randn(batch, 3, 32, 32, device=device)
    labels = torch.arange(batch, device=device) % 10

    lower = False  # read by `rounding` when it is called

    def rounding():
        return torch.autocast(device, torch.bfloat16, enabled=lower)

    def step():
        sigma = (1.2 * torch.randn(batch, device=device) - 1.2).exp()
        s = sigma.view(-1, 1, 1, 1)
        with rounding():
            found = EDM.denoise(net, images + s * torch.randn_like(images), sigma, labels)
        loss = (EDM.weight(s) * (found - images) ** 2).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        return loss.item()

    @torch.no_grad()
    def evaluation():
        with rounding():
            return float(EDM.denoise(net, images, torch.ones(batch, device=device), labels).sum())

    def median(work):
        work()
        times, start = [], time.perf_counter()
        while len(times) < 3 or time.perf_counter() - start < seconds:
            begin = time.perf_counter()
            work()
            times.append(time.perf_counter() - begin)
        return 1000 * sorted(times)[len(times) // 2]

    found = {"torch": torch.__version__, "device": device, "threads": threads,
             "step_ms": median(step), "evaluation_ms": median(evaluation)}
    lower = True
    print(json.dumps({**found, "bf16_step_ms": median(step), "bf16_evaluation_ms": median(evaluation)}))


if __name__ == "__main__":
    main()
