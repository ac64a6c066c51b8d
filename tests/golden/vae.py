"""The evidence lower bound of a variational autoencoder by PyTorch, with all gradients and fixed noise; for
tests/nn_generative.rs.

    apt-get install python3-torch        # 1.13.0 on Debian 12
    /usr/bin/python3 tests/golden/vae.py > tests/golden/vae.json
"""

import json
import math

import torch

assert torch.__version__.startswith("1.13.")
torch.set_default_dtype(torch.float64)
torch.manual_seed(0)

DIMENSION, LATENT, WIDTH, DEPTH, ROWS = 3, 2, 7, 2, 6


def rounded(tensor):
    """A number that is exact in single precision, so that both sides compute with the same."""
    return tensor.mul(1024).round().div(1024)


def numbers(tensor):
    return [float(f"{v:.9g}") for v in tensor.detach().flatten().tolist()]


def network(inputs, outputs):
    sizes = [inputs] + [WIDTH] * DEPTH + [outputs]
    layers = [
        (rounded(torch.randn(a, b) / a**0.5).requires_grad_(True), rounded(torch.randn(b)).requires_grad_(True))
        for a, b in zip(sizes, sizes[1:])
    ]

    def forward(h):
        for i, (weight, bias) in enumerate(layers):
            h = h @ weight + bias
            if i < DEPTH:
                h = torch.nn.functional.silu(h)
        return h

    return [p for layer in layers for p in layer], forward


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
