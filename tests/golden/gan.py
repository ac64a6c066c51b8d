"""Losses of a generative adversarial network and their gradients by PyTorch: a plain game, one whose critic sees noisy
points, and one in which a step of a chain is generated through its posterior; for tests/engine/nn_generative.rs. Also the levels
of the denoising GAN's chain.

    apt-get install python3-torch        # 1.13.0 on Debian 12
    /usr/bin/python3 tests/golden/gan.py > tests/golden/gan.json
"""

import json
import math

import torch
from perceptron import numbers, perceptron, rounded

assert torch.__version__.startswith("1.13.")
torch.set_default_dtype(torch.float64)
torch.manual_seed(0)

DIMENSION, LATENT, WIDTH, DEPTH, ROWS = 2, 3, 7, 2, 6
softplus = torch.nn.functional.softplus


def network(inputs, outputs):
    return perceptron(inputs, WIDTH, DEPTH, outputs, lambda h: torch.nn.functional.leaky_relu(h, 0.2))


def levels(steps):
    """Powers of the signal at t = e + (1 - e) k / T of the variance-preserving process, the clean end taken exactly."""
    powers = [1.0]
    for k in range(1, steps + 1):
        t = 1e-3 + (1 - 1e-3) * k / steps
        powers.append(math.exp(-(0.1 * t + 19.9 * t * t / 2)))
    return powers


cases = []
for name, condition, beside in [("plain", 0, 0), ("noisy", 0, 1), ("step", DIMENSION + 1, DIMENSION + 1)]:
    generator, generate = network(condition + LATENT, DIMENSION)
    critic, criticise = network(DIMENSION + beside, 1)
    latent, noise = rounded(torch.randn(ROWS, LATENT)), rounded(torch.randn(ROWS, DIMENSION))
    real = rounded(torch.randn(ROWS, DIMENSION + beside))
    case = {"name": name}
    if name == "plain":
        inputs, extra = latent, torch.zeros(ROWS, 0)
        scale, shift = torch.ones(ROWS, 1), torch.zeros(ROWS, DIMENSION)
    elif name == "noisy":
        inputs, extra = latent, rounded(torch.rand(ROWS, 1))
        power = rounded(torch.rand(ROWS, 1))
        scale, shift = power.sqrt(), (1 - power).sqrt() * noise
    else:
        # The posterior of the last but one step of four: x_t given x_0 = G and x_{t+1}.
        clean, noisy = levels(4)[2:4]
        beta = 1 - noisy / clean
        before, time = rounded(torch.randn(ROWS, DIMENSION)), torch.full((ROWS, 1), 2 / 3 * 2 - 1)
        inputs, extra = torch.cat([before, latent, time], 1), torch.cat([before, time], 1)
        scale = torch.full((ROWS, 1), clean**0.5 * beta / (1 - noisy))
        variance = beta * (1 - clean) / (1 - noisy)
        shift = (noisy / clean) ** 0.5 * (1 - clean) / (1 - noisy) * before + variance**0.5 * noise
        case |= {"before": numbers(before), "noise": numbers(noise), "variance": variance}
    seen = torch.cat([scale * generate(inputs) + shift, extra], 1)
    of_real, of_seen = criticise(real), criticise(seen)
    critic_loss = softplus(-of_real).mean() + softplus(of_seen).mean()
    case |= {"critic": sum(map(numbers, critic), []), "generator": sum(map(numbers, generator), [])}
    case |= {"inputs": numbers(inputs), "real": numbers(real), "scale": numbers(scale)}
    case |= {"added": numbers(torch.cat([shift, extra], 1)), "logits": numbers(torch.cat([of_real, of_seen]))}
    gradient = torch.autograd.grad(critic_loss, critic, retain_graph=True)
    case |= {"critic_loss": critic_loss.item(), "critic_gradient": sum(map(numbers, gradient), [])}
    for aim, loss in [("non_saturating", softplus(-of_seen).mean()), ("saturating", -softplus(of_seen).mean())]:
        gradient = torch.autograd.grad(loss, generator, retain_graph=True)
        case |= {aim: {"loss": loss.item(), "gradient": sum(map(numbers, gradient), [])}}
    cases.append(case)

shape = {"dimension": DIMENSION, "latent": LATENT, "width": WIDTH, "depth": DEPTH}
print(json.dumps({"torch": torch.__version__, **shape, "levels": levels(4), "cases": cases}))
