"""Score matching by PyTorch's double backward: losses and gradients of small networks; and of networks with every
activation the derivatives along a direction, and gradients of a loss made of them; for tests/engine/nn_tangent.rs.

    apt-get install python3-torch        # 1.13.0 on Debian 12
    /usr/bin/python3 tests/golden/tangent.py > tests/golden/tangent.json
"""

import json

import torch

assert torch.__version__.startswith("1.13.")
torch.set_default_dtype(torch.float64)
torch.manual_seed(0)

WIDTH, DEPTH, ROWS, DIMENSION, EXTRA, SCALE = 7, 2, 5, 3, 2, 2.0
DECAY = 0.125
# Numbers of what came later, so that the others stay as they are.
later = torch.Generator().manual_seed(1)


def rounded(tensor):
    """A number that is exact in single precision, so that both sides compute with the same."""
    return tensor.mul(1024).round().div(1024)


def numbers(tensor):
    return [float(f"{v:.9g}") for v in tensor.detach().flatten().tolist()]


cases = []
for energy in (False, True):
    sizes = [DIMENSION + EXTRA] + [WIDTH] * DEPTH + [1 if energy else DIMENSION]
    linear = [torch.nn.Linear(a, b) for a, b in zip(sizes, sizes[1:])]
    for parameter in [p for layer in linear for p in layer.parameters()]:
        parameter.data = rounded(2 * parameter.data)
    net = torch.nn.Sequential(*[m for layer in linear for m in (layer, torch.nn.SiLU())][:-1])
    x = rounded(torch.randn(ROWS, DIMENSION))
    extra = rounded(torch.randn(ROWS, EXTRA))
    target = rounded(torch.randn(ROWS, DIMENSION))
    weight = rounded(torch.rand(ROWS, 1))
    direction = rounded(torch.randn(ROWS, DIMENSION))
    second = rounded(torch.randn(ROWS, DIMENSION, generator=later))
    negatives = rounded(torch.randn(ROWS, DIMENSION, generator=later))

    def score(points):
        output = net(torch.cat([points / SCALE, extra], 1))
        if not energy:
            return output
        (slope,) = torch.autograd.grad(output.sum(), points, create_graph=True)
        return -slope

    def implicit(points):
        s = score(points)
        trace = sum(torch.autograd.grad(s[:, i].sum(), points, create_graph=True)[0][:, i] for i in range(DIMENSION))
        return (trace + 0.5 * s.square().sum(1)).mean()

    def slice_along(points, along):
        s = score(points)
        slope = (s * along).sum(1)
        (curvature,) = torch.autograd.grad(slope.sum(), points, create_graph=True)
        square = slope.square() if energy else s.square().sum(1)
        return ((curvature * along).sum(1) + 0.5 * square).mean()

    def sliced(points):
        return slice_along(points, direction)

    def two_slices(points):
        return 0.5 * (slice_along(points, direction) + slice_along(points, second))

    def contrast(points):
        low, high = (net(torch.cat([p / SCALE, extra], 1)) for p in (points, negatives))
        # The decay keeps energies near 0; the loss that is reported is without it.
        decay = DECAY * (low.square().mean() + high.square().mean())
        return low.mean() - high.mean() + decay - decay.detach()

    def regression(points):
        return (0.5 * weight * (score(points) - target).square()).sum(1).mean()

    # Layer by layer the weights as [inputs, outputs], then the biases: the order of scorefield's flat vector.
    def flat(of):
        zeros = lambda p: torch.zeros(1) if p is None else p
        return [v for layer in linear for p in (of(layer.weight).T, of(layer.bias)) for v in numbers(zeros(p))]

    case = {"energy": energy, "x": numbers(x), "extra": numbers(extra), "target": numbers(target)}
    case |= {"weight": numbers(weight), "direction": numbers(direction), "parameters": flat(lambda p: p)}
    case |= {"second": numbers(second), "negatives": numbers(negatives)}
    points = x.clone().requires_grad_(True)
    case["score"] = numbers(score(points))
    objectives = {"implicit": implicit, "sliced": sliced, "regression": regression, "two_slices": two_slices}
    for name, objective in (objectives | ({"contrast": contrast} if energy else {})).items():
        net.zero_grad()
        loss = objective(points)
        loss.backward()
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for l in linear for p in (l.weight, l.bias)]
        order = iter(gradients)
        out = []
        for _ in linear:
            out += numbers(next(order).T)
            out += numbers(next(order))
        case[name] = {"loss": loss.item(), "gradient": out}
    cases.append(case)

# Networks with every activation: values, first and second derivatives along a direction, and the gradients of a
# weighted sum of all three with respect to the parameters and to the inputs.
SLOPE = 0.2
ACTIVATIONS = {
    "silu": torch.nn.SiLU(),
    "gelu": torch.nn.GELU(),
    "relu": torch.nn.ReLU(),
    "leaky-relu": torch.nn.LeakyReLU(SLOPE),
    "tanh": torch.nn.Tanh(),
    "softplus": torch.nn.Softplus(),
}


def slopes(values, inputs):
    """The gradient of a sum; zeros where it does not depend on the inputs."""
    if not values.requires_grad:
        return torch.zeros_like(inputs)
    (slope,) = torch.autograd.grad(values.sum(), inputs, create_graph=True, allow_unused=True)
    return torch.zeros_like(inputs) if slope is None else slope


activations = []
for name, activation in ACTIVATIONS.items():
    sizes = [DIMENSION] + [WIDTH] * DEPTH + [2]
    layers = [
        [rounded(torch.randn(*shape, generator=later) / scale).requires_grad_(True) for shape in ((a, b), (b,))]
        for a, b in zip(sizes, sizes[1:])
        for scale in [a**0.5]
    ]
    inputs = rounded(torch.randn(ROWS, DIMENSION, generator=later)).requires_grad_(True)
    along = rounded(torch.randn(ROWS, DIMENSION, generator=later))
    weights = [rounded(torch.randn(ROWS, 2, generator=later)) for _ in range(3)]
    x = inputs
    for i, (weight, bias) in enumerate(layers):
        x = x @ weight + bias
        if i < DEPTH:
            x = activation(x)
    first = torch.stack([(slopes(x[:, i], inputs) * along).sum(1) for i in range(2)], 1)
    second = torch.stack([(slopes(first[:, i], inputs) * along).sum(1) for i in range(2)], 1)
    loss = sum((w * part).sum() for w, part in zip(weights, (x, first, second)))
    parameters = [p for layer in layers for p in layer]
    gradients = torch.autograd.grad(loss, [*parameters, inputs])
    case = {"activation": name, "parameters": sum((numbers(p) for p in parameters), [])}
    case |= {"inputs": numbers(inputs), "along": numbers(along), "weights": [numbers(w) for w in weights]}
    case |= {"value": numbers(x), "first": numbers(first), "second": numbers(second)}
    case |= {"gradient": sum((numbers(g) for g in gradients[:-1]), []), "input_gradient": numbers(gradients[-1])}
    activations.append(case)

shape = {"width": WIDTH, "depth": DEPTH, "rows": ROWS, "dimension": DIMENSION, "extra": EXTRA, "scale": SCALE, "decay": DECAY}
print(json.dumps({"torch": torch.__version__, **shape, "cases": cases, "activations": activations}))
