"""Writes two checkpoints of the size that is published, with random numbers, for the ignored test in tests/engine/nn_checkpoint.rs that
measures what loading one holds: EDM's NCSN++ as a pickle (226 MB), and score_sde's NCSN++ with the optimiser's state and the
averages beside the model (1 GB).

    python tests/golden/full_size.py FOLDER
"""
import pickle
import sys

import numpy as np
import torch

import edm_pickle
import sde_checkpoint
import song_reference

RANDOM = np.random.default_rng(0)


def value(name, shape):
    count = int(np.prod(shape))
    return torch.as_tensor(0.02 * RANDOM.standard_normal(count, dtype=np.float32)).reshape(shape)


def shapes(network, **config):
    w = song_reference.Weights()
    with torch.no_grad():
        network(w, layers=4, channels=128, attended=(1,), outputs=3, **config, **song_reference.NCSN_PP)(
            torch.zeros(1, 3, 32, 32), torch.zeros(1))
    return w.shapes


def main(folder):
    edm_pickle.value_of = value
    network = edm_pickle.Module("VEPrecond", img_resolution=32, label_dim=0, use_fp16=False, sigma_min=0.02, sigma_max=100.0)
    network.model = edm_pickle.build(shapes(song_reference.Edm, multipliers=(2, 2, 2)))
    with open(f"{folder}/edm-cifar10-32x32-uncond-ve.pkl", "wb") as file:
        pickle.dump(dict(ema=network, augment_pipe=None, dataset_kwargs=dict(path="cifar10-32x32.zip", use_labels=False)), file)

    all_of = shapes(song_reference.ScoreSde, multipliers=(1, 2, 2, 2))
    names = sorted(all_of, key=sde_checkpoint.place)
    learned = [name for name in names if name != "all_modules.0.W"]
    made = lambda name: value(name, all_of[name])
    model = {f"module.{name}": made(name) for name in names} | {"module.sigmas": torch.linspace(50, 0.01, 1000)}
    ema = dict(decay=0.999, num_updates=10, shadow_params=[made(name) for name in learned])
    state = {at: dict(step=1, exp_avg=made(name), exp_avg_sq=made(name)) for at, name in enumerate(learned)}
    groups = [dict(lr=2e-4, betas=(0.9, 0.999), params=list(range(len(learned))))]
    torch.save(dict(optimizer=dict(state=state, param_groups=groups), model=model, ema=ema, step=10), f"{folder}/checkpoint_8.pth")


if __name__ == "__main__":
    main(*sys.argv[1:])
