"""Losses and gradients for tests/program/cli_training.rs.

Run with python 3.11 and torch 1.13 (Debian's python3-torch; safetensors 0.8.0):

    python tests/golden/image_training.py

The network is src/cli/bench/torch_step.py's; the objectives are written here from the papers as a denoiser that gets
x = image + sigma noise and a weight of its square error, which is not how the trainer has them. L_hybrid is from the
formulas of Nichol and Dhariwal 2021 (arXiv 2102.09672), in double precision. No weights are stored: both sides compute
them from the names.
"""
import math
import os
import sys

import torch
from safetensors.torch import save_file

from numbers_of_names import parameter, tensor

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../src/cli/bench"))
from torch_step import EDM, UNet  # noqa: E402

KEPT = 24
SHAPE = (4, 3, 8, 8)


def noise_levels(objective):
    """sigma / alpha of the steps of the objectives that have steps, in double precision."""
    if objective == "ncsn":
        return 0.02 * 5000.0 ** (torch.arange(232, dtype=torch.float64) / 231)
    if objective == "ddpm":
        kept = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)
    elif objective == "cosine":
        angle = (torch.arange(1001, dtype=torch.float64) / 1000 + 0.008) / 1.008 * math.pi / 2
        kept = torch.cumprod((angle[1:].cos() / angle[:-1].cos()).square().clamp(min=0.001), 0)
    else:
        return None
    return ((1 - kept) / kept).sqrt()


def denoise(objective, net, x, sigma, labels, steps):
    """The image that the network believes in, and the weight of its square error: EDM's, else the error of the noise."""
    s = sigma.view(-1, 1, 1, 1)
    if objective == "edm":
        return EDM.denoise(net, x, sigma, labels), EDM.weight(s)
    if objective in ("ve", "ncsn"):
        # The network is the score times sigma; NCSNv2's is not told the level.
        times = 100.0 * sigma.log() if objective == "ve" else torch.zeros_like(sigma)
        return x + s * net(x, times, labels), s**-2
    if objective == "vp":
        # beta(t) from 0.1 to 20: ln(1 + sigma^2) = 9.95 t^2 + 0.1 t
        times = 999 * (((0.01 + 39.8 * torch.log1p(sigma**2)).sqrt() - 0.1) / 19.9)
    else:
        times = steps.float()
    return x - s * net(x / (1 + s**2).sqrt(), times, labels), s**-2


def network(outputs=3):
    net = UNet(32, multipliers=(1, 2), layers=1, outputs=outputs)
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
    img, noise = tensor("image", SHAPE), 1.7 * tensor("noise", SHAPE)
    labels = torch.tensor([3, 10, 7, 0])
    steps = torch.tensor([0, 120, 555, 999])
    for objective in ("edm", "ddpm", "cosine", "vp", "ve", "ncsn"):
        net = network()
        levels = noise_levels(objective)
        if levels is None:
            sigma = torch.tensor([0.03, 0.3, 1.7, 40.0])
        else:
            sigma = levels[steps * (len(levels) - 1) // 999].float()
        into[f"{objective}/sigma"] = sigma
        s = sigma.view(-1, 1, 1, 1)
        out, weight = denoise(objective, net, img + s * noise, sigma, labels, steps)
        loss = (weight * (out - img) ** 2).mean()
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
