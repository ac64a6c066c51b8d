"""The evidence lower bound of a variational autoencoder by PyTorch, with all gradients and fixed noise; for
tests/engine/nn_generative.rs.

    apt-get install python3-torch        # 1.13.0 on Debian 12
    /usr/bin/python3 tests/golden/vae.py > tests/golden/vae.json
"""

import json
import math

import torch
from perceptron import numbers, perceptron, rounded

assert torch.__version__.startswith("1.13.")
torch.set_default_dtype(torch.float64)
torch.manual_seed(0)

DIMENSION, LATENT, WIDTH, DEPTH, ROWS = 3, 2, 7, 2, 6


def network(inputs, outputs):
    return perceptron(inputs, WIDTH, DEPTH, outputs, torch.nn.functional.silu)


x, noise = rounded(torch.randn(ROWS, DIMENSION)), rounded(torch.randn(ROWS, LATENT))
encoder, encode = network(DIMENSION, 2 * LATENT)
decoder, decode = network(LATENT, DIMENSION)
std = rounded(torch.tensor(0.4))
log_noise = std.log().requires_grad_(True)
mean, log_variance = encode(x).split(LATENT, 1)
posterior = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
likelihood = torch.distributions.Normal(decode(mean + posterior.scale * noise), log_noise.exp())
reconstruction = -likelihood.log_prob(x).sum(1)
divergence = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).sum(1)
cases = []
for weight in [1.0, 0.25]:
    loss = (reconstruction + weight * divergence).mean()
    parameters = encoder + decoder + [log_noise]
    gradient = torch.autograd.grad(loss, parameters, retain_graph=True)
    half = len(encoder)
    case = {"weight": weight, "encoder": sum(map(numbers, gradient[:half]), [])}
    case |= {"decoder": sum(map(numbers, gradient[half:-1]), []), "log_noise": gradient[-1].item()}
    cases.append(case)

shape = {"dimension": DIMENSION, "latent": LATENT, "width": WIDTH, "depth": DEPTH, "std": std.item()}
networks = {"encoder": sum(map(numbers, encoder), []), "decoder": sum(map(numbers, decoder), [])}
terms = {"reconstruction": numbers(reconstruction), "divergence": numbers(divergence)}
points = {"x": numbers(x), "noise": numbers(noise)}
print(json.dumps({"torch": torch.__version__, **shape, **networks, **points, **terms, "cases": cases}))
