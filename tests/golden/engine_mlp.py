"""A small network of the page by PyTorch: outputs, loss, gradients and one step of Adam for every activation.

    apt-get install python3-torch        # 1.13.0 on Debian 12
    /usr/bin/python3 tests/golden/engine_mlp.py > tests/golden/engine_mlp.json
"""

import json

import torch

assert torch.__version__.startswith("1.13.")
torch.manual_seed(0)

FEATURES, WIDTH, DEPTH, ROWS = 28, 8, 2, 6
ACTIVATIONS = {
    "silu": torch.nn.SiLU(),
    "gelu": torch.nn.GELU(),
    "relu": torch.nn.ReLU(),
    "tanh": torch.nn.Tanh(),
}


def numbers(tensor):
    return [round(v, 8) for v in tensor.detach().double().flatten().tolist()]


cases = []
for name, activation in ACTIVATIONS.items():
    sizes = [FEATURES] + [WIDTH] * DEPTH + [2]
    linear = [torch.nn.Linear(a, b) for a, b in zip(sizes, sizes[1:])]
    # Rounded, so that the file holds exactly what was computed with.
    for parameter in [p for layer in linear for p in layer.parameters()]:
        parameter.data = (parameter.data * 2).mul(1024).round().div(1024)
    layers = [m for layer in linear for m in (layer, activation)][:-1]
    model = torch.nn.Sequential(*layers)
    x = torch.randn(ROWS, FEATURES).mul(1024).round().div(1024)
    target = torch.randn(ROWS, 2).mul(1024).round().div(1024)
    weight = torch.rand(ROWS, 1).mul(1024).round().div(1024)

    # Layer by layer the weights as [inputs, outputs], then the biases: the order of scorefield's flat vector.
    def flat(of):
        return [v for layer in linear for p in (of(layer.weight).T, of(layer.bias)) for v in numbers(p)]

    adam = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.9, 0.99), eps=1e-8)
    case = {"activation": name, "x": numbers(x), "target": numbers(target), "weight": numbers(weight)}
    case["parameters"] = flat(lambda p: p)
    output = model(x)
    loss = (weight * (output - target) ** 2).mean()
    loss.backward()
    case |= {"output": numbers(output), "loss": loss.item(), "gradient": flat(lambda p: p.grad)}
    adam.step()
    adam.zero_grad()
    (weight * (model(x) - target) ** 2).mean().backward()
    adam.step()
    case["after_two_steps"] = flat(lambda p: p)
    cases.append(case)

print(json.dumps({"torch": torch.__version__, "features": FEATURES, "width": WIDTH, "depth": DEPTH, "cases": cases}))
