"""Writes flax_*.msgpack and flax_reference.safetensors for tests/engine/nn_flax.rs: checkpoints as score_sde saves them in JAX, without JAX.

The networks and their numbers are song_reference.py's, in torch; here they get the names and layouts of flax: layers numbered by
their classes in the order in which the network makes them, kernels with height and width first, matrices with inputs first. An
array is an extension of type 1 that holds shape, kind and bytes. Run as unet_reference.py, with msgpack besides:

    pip install msgpack && python tests/golden/flax_checkpoint.py
"""
import collections
import os

import msgpack
import numpy as np
import torch
from safetensors.torch import save_file

import song_reference
from numbers_of_names import parameter, tensor

HERE = os.path.dirname(os.path.abspath(__file__))
SMALL = dict(song_reference.SMALL, channels=8, multipliers=(1, 1))
CASES = {"ncsn_pp": song_reference.NCSN_PP, "ddpm_pp": song_reference.DDPM_PP, "skips": song_reference.SKIPS}


def extension(array):
    packed = msgpack.packb([list(array.shape), array.dtype.name, array.tobytes()], use_bin_type=True)
    return msgpack.ExtType(1, packed)


def class_of(layers):
    """The flax class of a module with these layers: their shapes by name, '' for one that has no layers within."""
    if "Dense_0" in layers:
        return "ResnetBlockBigGANpp"
    if "NIN_0" in layers:
        return "AttnBlockpp"
    if "Conv2d_0" in layers:
        return "Downsample"
    if "Conv_0" in layers:
        return "Combine"
    shapes = layers[""]
    if "W" in shapes:
        return "GaussianFourierProjection"
    return {1: "GroupNorm", 2: "Dense", 4: "Conv"}[len(shapes["weight"])]


def turned(name, shape):
    """A parameter's numbers in flax's layout."""
    array = parameter(name, shape).numpy()
    if ".NIN_" in name or array.ndim < 2:
        return array
    return np.ascontiguousarray(array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T)


def named(shapes):
    modules = collections.defaultdict(lambda: collections.defaultdict(dict))
    for name, shape in shapes.items():
        _, at, *rest = name.split(".")
        modules[int(at)][rest[0] if len(rest) > 1 else ""][rest[-1]] = shape
    counts, found = collections.Counter(), {}
    for at in sorted(modules):
        of = class_of(modules[at])
        place = found.setdefault(f"{of}_{counts[of]}", {})
        counts[of] += 1
        for layer, kinds in modules[at].items():
            inner = place.setdefault(layer, {}) if layer else place
            for kind, shape in kinds.items():
                whole = ".".join(part for part in ("all_modules", str(at), layer, kind) if part)
                norm = layer.startswith("GroupNorm") or of == "GroupNorm"
                own = layer.startswith(("NIN", "Conv2d"))
                theirs = "scale" if norm and kind == "weight" else "kernel" if kind == "weight" and not own else kind
                inner[theirs] = turned(whole, tuple(shape))
    return found


def over(tree, change):
    return {key: over(value, change) if isinstance(value, dict) else change(value) for key, value in tree.items()}


def main():
    outputs = {}
    for name, config in CASES.items():
        w = song_reference.Weights()
        with torch.no_grad():
            network = song_reference.ScoreSde(w, **SMALL, **config)
            outputs[name] = network(tensor("input", (2, 3, 16, 16)), torch.tensor(song_reference.TIMES)).contiguous()
        params = named(w.shapes)
        state = {"params_ema": over(params, extension)}
        if name == "ncsn_pp":
            # The model's own numbers are others than the averages.
            target = over(params, lambda array: extension((0.5 * array).astype(np.float16)))
            state = {"step": 70_000, "optimizer": {"target": target, "state": {"step": 3, "param_states": {}}}, "lr": 2e-4,
                     "model_state": {}, "ema_rate": 0.999, **state, "rng": extension(np.array([1, 2], np.uint32))}
        with open(f"{HERE}/flax_{name}.msgpack", "wb") as file:
            file.write(msgpack.packb(state, use_bin_type=True, strict_types=True))
    save_file(outputs, f"{HERE}/flax_reference.safetensors")


if __name__ == "__main__":
    main()
