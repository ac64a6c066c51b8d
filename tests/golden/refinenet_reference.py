"""Numbers of the networks of Song and Ermon 2019 (NCSN) and 2020 (NCSNv2) for tests/engine/nn_refine.rs, and small checkpoints.

The networks are written here from the papers and the layout of the published files, in plain torch and with the names of
those files, independently of src/nn/unet; they agree with ncsnv2's own code to 1.1e-6. Run as unet_reference.py:

    python tests/golden/refinenet_reference.py
"""
import json
import os

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from numbers_of_names import parameter, tensor
from song_reference import Weights

HERE = os.path.dirname(os.path.abspath(__file__))


# Of the networks for 32 and 64, for 128 and for 256 pixels the stages by their numbers in the files, with multiples of the
# channels and dilations, and the blocks of refinement with multiples of theirs.
STAGES = {
    "small": [("1", 1, 1), ("2", 2, 1), ("3", 2, 2), ("4", 2, 4)],
    "deeper": [("1", 1, 1), ("2", 2, 1), ("3", 2, 1), ("4", 4, 2), ("5", 4, 4)],
    "deepest": [("1", 1, 1), ("2", 2, 1), ("3", 2, 1), ("31", 2, 1), ("4", 4, 2), ("5", 4, 4)],
}
BLOCKS = {
    "small": [("1", 2), ("2", 2), ("3", 1), ("4", 1)],
    "deeper": [("1", 4), ("2", 2), ("3", 2), ("4", 1), ("5", 1)],
    "deepest": [("1", 4), ("2", 2), ("31", 2), ("3", 2), ("4", 1), ("5", 1)],
}


class Refine:
    """NCSN's network where there are levels, which every normalisation is told; NCSNv2's where there are none. Pixels as
    they are after the network's own centring, and the output before NCSNv2's division by the noise level."""

    def __init__(self, w, channels, image_channels=3, levels=0, shape="small"):
        self.w, self.channels, self.image_channels, self.levels, self.shape = w, channels, image_channels, levels, shape

    def norm(self, name, x):
        w, channels = self.w, x.shape[1]
        if self.levels:
            gamma, alpha, beta = w(f"{name}.embed.weight", self.levels, 3 * channels)[self.labels].chunk(3, 1)
        else:
            alpha, gamma, beta = [w(f"{name}.{kind}", channels)[None] for kind in ("alpha", "gamma", "beta")]
        means = x.mean((2, 3))
        rest = (means - means.mean(1, keepdim=True)) / torch.sqrt(means.var(1, keepdim=True) + 1e-5)
        h = F.instance_norm(x, eps=1e-5) + (alpha * rest)[:, :, None, None]
        return gamma[:, :, None, None] * h + beta[:, :, None, None]

    def conv(self, name, x, outputs, size=3, dilation=1, bias=True):
        weight = self.w(f"{name}.weight", outputs, x.shape[1], size, size)
        bias = self.w(f"{name}.bias", outputs) if bias else None
        return F.conv2d(x, weight, bias, padding=dilation * (size // 2), dilation=dilation)

    def block(self, name, x, outputs, down=False, dilation=1):
        pooled = down and dilation == 1
        inputs = x.shape[1]
        halve = (lambda x: F.avg_pool2d(x, 2)) if pooled else (lambda x: x)
        inner = f"{name}.conv2" + (".conv" if pooled else "")
        h = self.conv(f"{name}.conv1", F.elu(self.norm(f"{name}.normalize1", x)), inputs if down else outputs, dilation=dilation)
        h = halve(self.conv(inner, F.elu(self.norm(f"{name}.normalize2", h)), outputs, dilation=dilation))
        if inputs != outputs or down:
            shortcut = f"{name}.shortcut" + (".conv" if pooled else "")
            x = halve(self.conv(shortcut, x, outputs, size=1 if dilation == 1 else 3, dilation=dilation))
        return x + h

    def chain(self, name, x, blocks):
        for block in range(1, blocks + 1):
            rest = x
            for stage in (1, 2):
                if self.levels:
                    x = self.norm(f"{name}.{block}_{stage}_norm", x)
                x = self.conv(f"{name}.{block}_{stage}_conv", F.elu(x), x.shape[1], bias=False)
            x = x + rest
        return x

    def refine(self, name, xs, outputs, end=False):
        xs = [self.chain(f"{name}.adapt_convs.{i}", x, 2) for i, x in enumerate(xs)]
        size = xs[0].shape[2:]
        if len(xs) > 1:
            total = 0
            for i, x in enumerate(xs):
                if self.levels:
                    x = self.norm(f"{name}.msf.norms.{i}", x)
                x = self.conv(f"{name}.msf.convs.{i}", x, outputs)
                total = total + F.interpolate(x, size=size, mode="bilinear", align_corners=True)
            x = total
        else:
            x = xs[0]
        x = F.elu(x)
        path = x
        for i in range(2):
            if self.levels:
                path = F.avg_pool2d(self.norm(f"{name}.crp.norms.{i}", path), 5, 1, 2)
            else:
                path = F.max_pool2d(path, 5, 1, 2)
            path = self.conv(f"{name}.crp.convs.{i}", path, outputs, bias=False)
            x = x + path
        return self.chain(f"{name}.output_convs", x, 3 if end else 1)

    def __call__(self, x, labels=None):
        self.labels, c = labels, self.channels
        h = self.conv("begin_conv", x, c)
        outputs = []
        for stage, width, dilation in STAGES[self.shape]:
            for block in range(2):
                h = self.block(f"res{stage}.{block}", h, width * c, stage != "1" and block == 0, dilation)
            outputs.append(h)
        below = []
        for number, width in BLOCKS[self.shape]:
            below = [self.refine(f"refine{number}", [outputs.pop(), *below], width * c, end=not outputs)]
        [h] = below
        return self.conv("end_conv", F.elu(self.norm("normalizer", h)), self.image_channels)


class Leaves(Weights):
    """The same, with derivatives."""

    def __init__(self):
        super().__init__()
        self.leaves = {}

    def __call__(self, name, *shape):
        if name not in self.leaves:
            self.leaves[name] = parameter(name, shape).clone().requires_grad_()
        return self.leaves[name]


class OurNames(Weights):
    """Parameters that follow from the names that they have in src/nn/unet."""

    @staticmethod
    def ours(name):
        """Of the network for up to 64 pixels."""
        stage, *rest = name.split(".")
        if stage.startswith("res"):
            inner = [part for part in rest if part != "conv"]
            return ".".join(["stages", str(int(stage[3:]) - 1), *inner])
        if not stage.startswith("refine"):
            return name
        part, *rest = rest
        head = ["refine", str(int(stage[6:]) - 1)]
        if part in ("msf", "crp"):
            layer, at, *kind = rest
            return ".".join([*head, {"msf": "merge", "crp": "pool"}[part], at, layer[:-1], *kind])
        place, rest = ([rest[0]], rest[1:]) if part == "adapt_convs" else ([], rest)
        block, unit, layer = rest[0].split("_")
        list_of = "adapt" if part == "adapt_convs" else "output"
        return ".".join([*head, list_of, *place, str(2 * int(block) + int(unit) - 3), layer, *rest[1:]])

    def __call__(self, name, *shape):
        return parameter(self.ours(name), shape)


CASES = {
    "ncsn": (dict(channels=8, levels=10), (2, 3, 16, 16), [3, 8]),
    "ncsn_grey": (dict(channels=8, levels=10, image_channels=1), (2, 1, 12, 12), [0, 9]),
    "ncsnv2": (dict(channels=8), (2, 3, 16, 16), None),
    "ncsnv2_deeper": (dict(channels=4, shape="deeper"), (2, 3, 16, 16), None),
    "ncsnv2_deepest": (dict(channels=4, shape="deepest"), (2, 3, 24, 24), None),
}


def gradients(config, shape, labels):
    """Of every parameter, by its name in the file, the norm of the gradient and its product with numbers of its name."""
    w = Leaves()
    output = Refine(w, **config)(tensor("input", shape), labels and torch.tensor(labels))
    (output * tensor("weights", shape)).sum().backward()
    direction = lambda name, grad: tensor(f"{name} direction", (grad.numel(),))
    return {name: [float(leaf.grad.norm()), float(leaf.grad.flatten() @ direction(name, leaf.grad))]
            for name, leaf in w.leaves.items()}


def count(config, image_channels=3):
    w = Weights()
    with torch.no_grad():
        labels = torch.tensor([0]) if config.get("levels") else None
        Refine(w, **config)(torch.zeros(1, config.get("image_channels", 3), 16, 16), labels)
    return sum(int(np.prod(shape)) for shape in w.shapes.values())


def checkpoint(name, config, sigmas=None):
    """A file as they were saved: NCSN's model and optimiser; NCSNv2's with epoch, step and the averages, whose names have no
    prefix. The model's own numbers are others than those of their names where there are averages."""
    w = Weights()
    with torch.no_grad():
        Refine(w, **config)(torch.zeros(1, 3, 8, 8), torch.tensor([0]) if config.get("levels") else None)
    value = lambda name: parameter(name, tuple(w.shapes[name])).half()
    optimiser = dict(state={}, param_groups=[dict(lr=1e-3, betas=(0.9, 0.999), params=list(range(len(w.shapes))))])
    if sigmas is None:
        states = [{f"module.{key}": value(key) for key in w.shapes}, optimiser]
    else:
        model = {"module.sigmas": torch.tensor(sigmas)}
        model.update({f"module.{key}": 0.5 * value(key) for key in w.shapes})
        states = [model, optimiser, 3, 300000, {key: value(key) for key in w.shapes}]
    torch.save(states, f"{HERE}/{name}")


def main():
    outputs, shapes, of = {}, {}, {}
    for name, (config, shape, labels) in CASES.items():
        w = Weights()
        with torch.no_grad():
            outputs[name] = Refine(w, **config)(tensor("input", shape), labels and torch.tensor(labels)).contiguous()
        shapes[name], of[name] = w.shapes, gradients(config, shape, labels)
    save_file(outputs, f"{HERE}/refinenet_reference.safetensors",
              metadata={"shapes": json.dumps(shapes), "gradients": json.dumps(of)})
    checkpoint("ncsn_small.pth", dict(channels=4, levels=10))
    checkpoint("ncsnv2_small.pth", dict(channels=4), np.exp(np.linspace(np.log(50), np.log(0.01), 232)).astype(np.float32))
    # Numbers of parameters: those of the published code.
    for config, published in [
        (dict(channels=128, levels=10), 30_117_635),
        (dict(channels=64, levels=10, image_channels=1), 7_638_657),
        (dict(channels=128), 29_694_083),
        (dict(channels=128, shape="deeper"), 83_445_379),
        (dict(channels=128, shape="deepest"), 94_132_611),
    ]:
        found = count(config)
        print(config, found)
        assert found == published, (found, published)


if __name__ == "__main__":
    main()
