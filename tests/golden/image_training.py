"""Losses and gradients of the training kit for tests/cli_training.rs.

Run with python 3.11 and torch 1.13 (Debian's python3-torch; safetensors 0.8.0), naming the folder of the kit, where
network.py and train.py are:

    python tests/golden/image_training.py KIT

`network.py`'s UNet and Denoiser are used as they are; the loss is the line of train.py. The learned variance is not
part of the kit: its loss is written here from the formulas of Nichol and Dhariwal 2021 (arXiv 2102.09672), in double
precision. No weights are stored: both sides compute them from the names, as in unet_reference.py.
"""
import math
import os
import sys

import numpy as np
import torch
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, sys.argv[1])
from network import Denoiser, UNet, noise_levels  # noqa: E402

KEPT = 24
SHAPE = (4, 3, 8, 8)


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


def parameter(name, shape):
    u = hashed(name, int(np.prod(shape)))
    if len(shape) > 1:
        u = u * np.sqrt(3.0 / np.prod(shape[1:]))
    else:
        u = 0.1 * u + (1.0 if name.endswith("weight") else 0.0)
    return torch.from_numpy(u.astype(np.float32).reshape(shape))


def tensor(name):
    return torch.from_numpy(hashed(name, int(np.prod(SHAPE))).astype(np.float32).reshape(SHAPE))


def network(outputs=3):
    net = UNet(32, multipliers=(1, 2), layers=1, attention_levels=(1,), dropout=0.0, classes=10)
    if outputs != 3:
        net.conv_out = torch.nn.Conv2d(32, outputs, 3, padding=1)
    net.load_state_dict({name: parameter(name, tuple(value.shape)) for name, value in net.state_dict().items()})
    return net


def keep(into, case, net, loss):
    """Loss, norm of the gradient, and in the order of the parameters' names: its first numbers and its largest."""
    into[f"{case}/loss"] = loss.detach().float().reshape(1)
    gradients = [value.grad.double().reshape(-1) for _, value in sorted(net.named_parameters())]
    into[f"{case}/norm"] = torch.cat(gradients).norm().float().reshape(1)
    into[f"{case}/largest"] = torch.stack([g.abs().max() for g in gradients]).float()
    into[f"{case}/gradients"] = torch.stack(
        [torch.nn.functional.pad(g[:KEPT], (0, max(0, KEPT - len(g)))) for g in gradients]).float()


def main():
    into = {}
    img, noise = tensor("image"), 1.7 * tensor("noise")
    labels = torch.tensor([3, 10, 7, 0])
    steps = torch.tensor([0, 120, 555, 999])
    for objective in ("edm", "ddpm", "cosine", "vp", "ve", "ncsn"):
        net = network()
        model = Denoiser(net, objective)
        levels = noise_levels(objective)
        if levels is None:
            sigma = torch.tensor([0.03, 0.3, 1.7, 40.0])
        else:
            sigma = levels[steps * (len(levels) - 1) // 999].float()
        into[f"{objective}/sigma"] = sigma
        s = sigma.view(-1, 1, 1, 1)
        out = model(img + s * noise, sigma, labels)
        loss = (model.loss_weight(s) * (out.float() - img) ** 2).mean()
        loss.backward()
        keep(into, objective, net, loss)

    # L_hybrid on the linear chain, in double precision.
    net = network(outputs=6).double()
    beta = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    abar = torch.cumprod(1 - beta, 0)
    before = torch.cat([torch.ones(1, dtype=torch.float64), abar[:-1]])
    posterior = beta * (1 - before) / (1 - abar)
    clipped = torch.cat([posterior[1:2], posterior[1:]])
    image, noise = (img.double() * 127.5 + 127.5).round() / 127.5 - 1, noise.double()
    into["hybrid/image"] = image.float()
    pick = lambda table: table[steps].view(-1, 1, 1, 1)
    x = pick(abar).sqrt() * image + pick(1 - abar).sqrt() * noise
    eps, raw = net(x, steps.double(), labels).chunk(2, 1)
    share = (raw + 1) / 2
    log_variance = share * pick(beta.log()) + (1 - share) * pick(clipped.log())
    c1 = pick(before.sqrt() * beta / (1 - abar))
    c2 = pick((1 - beta).sqrt() * (1 - before) / (1 - abar))
    true_mean = c1 * image + c2 * x
    believed = (x - pick(1 - abar).sqrt() * eps.detach()) / pick(abar).sqrt()
    mean = c1 * believed + c2 * x
    true_log = pick(clipped.log())
    kl = 0.5 * (-1 + log_variance - true_log + (true_log - log_variance).exp()
                + (true_mean - mean) ** 2 * (-log_variance).exp())
    cdf = lambda v: 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3)))
    inverse = (-0.5 * log_variance).exp()
    above, below = cdf((image - mean + 1 / 255) * inverse), cdf((image - mean - 1 / 255) * inverse)
    above = torch.where(image > 0.999, torch.ones_like(above), above)
    below = torch.where(image < -0.999, torch.zeros_like(below), below)
    nll = -(above - below).clamp(min=1e-12).log()
    term = torch.where(steps.view(-1, 1, 1, 1) == 0, nll, kl) / math.log(2)
    loss = ((eps - noise) ** 2).mean() + 0.001 * 1000 * term.mean()
    loss.backward()
    keep(into, "hybrid", net, loss)
    into["hybrid/sigma"] = ((1 - abar) / abar).sqrt()[steps].float()
    save_file(into, os.path.join(HERE, "image_training.safetensors"))


main()
