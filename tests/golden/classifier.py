"""A noise-conditional classifier by PyTorch: probabilities, the cross-entropy with its gradient, and the gradient of
ln p(class | x, sigma) with respect to x; and the terms of the bound with a learned variance; for
tests/engine/nn_classifier.rs.

    apt-get install python3-torch        # 1.13.0 on Debian 12
    /usr/bin/python3 tests/golden/classifier.py > tests/golden/classifier.json
"""

import json

import torch
from perceptron import numbers, perceptron, rounded

assert torch.__version__.startswith("1.13.")
torch.set_default_dtype(torch.float64)
torch.manual_seed(0)

DIMENSION, CLASSES, WIDTH, DEPTH, ROWS, DATA = 5, 4, 7, 2, 6, 0.75


def network(outputs, activation):
    parameters, perceive = perceptron(DIMENSION + 3, WIDTH, DEPTH, outputs, activation)

    def forward(x, sigma):
        # Karras et al. 2022, table 1, with an input of root mean square 2 instead of 1.
        scaled = 2 * x / (sigma**2 + DATA**2).sqrt()
        log = sigma.log()
        return perceive(torch.cat([scaled, 0.5 * log, (1.5 * log).sin(), (1.5 * log).cos()], 1))

    return parameters, forward


x = rounded(torch.randn(ROWS, DIMENSION)).requires_grad_(True)
sigma = rounded(torch.tensor([0.05, 0.3, 1.0, 2.5, 10.0, 40.0])[:, None])
classes = torch.tensor([0, 1, 2, 3, 1, 1])
cases = []
activations = {"silu": torch.nn.SiLU(), "tanh": torch.nn.Tanh(), "leaky-relu": torch.nn.LeakyReLU(0.2)}
for name, activation in activations.items():
    parameters, forward = network(CLASSES, activation)
    logits = forward(x, sigma)
    loss = torch.nn.functional.cross_entropy(logits, classes)
    gradient = torch.autograd.grad(loss, parameters, retain_graph=True)
    chosen = torch.log_softmax(logits, 1)[torch.arange(ROWS), classes]
    (slope,) = torch.autograd.grad(chosen.sum(), x)
    case = {"activation": name, "parameters": sum(map(numbers, parameters), []), "loss": loss.item()}
    case |= {"probabilities": numbers(torch.softmax(logits, 1)), "gradient": sum(map(numbers, gradient), [])}
    cases.append(case | {"slope": numbers(slope)})

# Terms of the bound: the divergence of the true posterior from a step with the learned variance.
parameters, forward = network(DIMENSION, torch.nn.SiLU())
smallest = rounded(0.01 + 0.5 * torch.rand(ROWS, 1))
largest = rounded(smallest + 0.5 * torch.rand(ROWS, 1) + 0.01)
errors = rounded(0.5 * torch.randn(ROWS, DIMENSION))
v = forward(x, sigma)
log_variance = 0.5 * (v + 1) * largest.log() + (1 - 0.5 * (v + 1)) * smallest.log()
posterior = torch.distributions.Normal(errors, smallest.sqrt())
step = torch.distributions.Normal(torch.zeros_like(errors), (0.5 * log_variance).exp())
loss = torch.distributions.kl_divergence(posterior, step).sum(1).mean()
gradient = torch.autograd.grad(loss, parameters)
variance = {"parameters": sum(map(numbers, parameters), []), "output": numbers(v), "loss": loss.item()}
variance |= {"smallest": numbers(smallest), "largest": numbers(largest), "errors": numbers(errors)}
variance |= {"gradient": sum(map(numbers, gradient), [])}

shape = {"dimension": DIMENSION, "classes": CLASSES, "width": WIDTH, "depth": DEPTH, "data": DATA}
points = {"x": numbers(x), "sigma": numbers(sigma), "class": classes.tolist()}
print(json.dumps({"torch": torch.__version__, **shape, **points, "cases": cases, "variance": variance}))
