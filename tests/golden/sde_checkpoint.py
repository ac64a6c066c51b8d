"""Writes sde_small.pth for tests/engine/nn_song.rs: a checkpoint as score_sde saves it in PyTorch.

A dictionary of the optimiser, the model behind `module.`, the averages as a list in the order of the parameters, and the step. The
numbers of the averages are those of song_reference.py's network; those of the model are others.

    python tests/golden/sde_checkpoint.py
"""
import os

import numpy as np
import torch

import song_reference
from numbers_of_names import parameter

HERE = os.path.dirname(os.path.abspath(__file__))
# The order in which a module of the original lists its layers.
ORDER = ["GroupNorm_0", "Conv_0", "Dense_0", "GroupNorm_1", "Conv_1", "Conv_2", "NIN_0", "NIN_1", "NIN_2", "NIN_3", "Conv2d_0"]


def place(name):
    _, at, *rest = name.split(".")
    return int(at), ORDER.index(rest[0]) if len(rest) > 1 else 0, rest[-1] in ("bias", "b")


def main():
    w = song_reference.Weights()
    small = dict(song_reference.SMALL, channels=8, multipliers=(1, 1))
    with torch.no_grad():
        song_reference.ScoreSde(w, **small, **song_reference.NCSN_PP)(torch.zeros(1, 3, 16, 16), torch.zeros(1))
    value = lambda name, shape: torch.as_tensor(np.asarray(parameter(name, shape)), dtype=torch.float32).reshape(shape)
    names = sorted(w.shapes, key=place)
    model = {f"module.{name}": (0.5 * value(name, w.shapes[name])).half() for name in names}
    model["module.all_modules.0.W"] = value("all_modules.0.W", w.shapes["all_modules.0.W"])
    model["module.sigmas"] = torch.linspace(50, 0.01, 4)
    learned = [name for name in names if name != "all_modules.0.W"]
    ema = dict(decay=0.999, num_updates=10, shadow_params=[value(name, w.shapes[name]) for name in learned])
    optimiser = dict(state={}, param_groups=[dict(lr=2e-4, betas=(0.9, 0.999), params=list(range(len(learned))))])
    torch.save(dict(optimizer=optimiser, model=model, ema=ema, step=10), f"{HERE}/sde_small.pth")


if __name__ == "__main__":
    main()
