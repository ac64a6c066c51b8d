"""Writes edm_small.pkl for tests/engine/nn_song.rs: a network saved as Karras et al. 2022 publish theirs.

Their classes are persistent: pickled as a call of `torch_utils.persistence._reconstruct_persistent_obj` with the source of the
class and the attributes of the object. The classes here are no networks, only carriers of tensors under the names that
song_reference.py lists, in modules within modules as torch keeps them.

    python tests/golden/edm_pickle.py
"""
import collections
import os
import pickle
import sys
import types

import numpy as np
import torch

import song_reference
from numbers_of_names import parameter

HERE = os.path.dirname(os.path.abspath(__file__))


def reconstruct(meta):
    raise RuntimeError("nothing here is ever loaded by Python")


persistence = types.ModuleType("torch_utils.persistence")
reconstruct.__module__ = "torch_utils.persistence"
reconstruct.__name__ = reconstruct.__qualname__ = "_reconstruct_persistent_obj"
persistence._reconstruct_persistent_obj = reconstruct
sys.modules["torch_utils"] = types.ModuleType("torch_utils")
sys.modules["torch_utils.persistence"] = persistence


class Module(torch.nn.Module):
    """A persistent module."""

    def __init__(self, class_name, **attributes):
        super().__init__()
        self.class_name = class_name
        for name, value in attributes.items():
            setattr(self, name, value)

    def __reduce__(self):
        state = {key: value for key, value in self.__dict__.items() if key != "class_name"}
        meta = dict(type="class", version=6, module_src="import os\nos.system('echo this is only text')\n" * 40,
                    class_name=self.class_name, state=state)
        return reconstruct, (meta,), None, None, None


def build(shapes):
    """A tree of modules with tensors of these names; what begins with enc or dec lies in a ModuleDict, as theirs do."""
    root = Module("SongUNet", img_resolution=16, label_dim=0)
    root.enc, root.dec = torch.nn.ModuleDict(), torch.nn.ModuleDict()
    for name, shape in shapes.items():
        *path, last = name.split(".")
        module = root
        for part in path:
            if part not in module._modules:
                module.add_module(part, Module("UNetBlock" if "_block" in part else "Conv2d"))
            module = module._modules[part]
        if last in ("resample_filter", "freqs"):
            value = torch.full(shape, 1 / np.prod(shape[2:])) if last != "freqs" else value_of(name, shape)
            module.register_buffer(last, value)
        else:
            module.register_parameter(last, torch.nn.Parameter(value_of(name, shape), requires_grad=False))
    return root


def value_of(name, shape):
    return torch.as_tensor(np.asarray(parameter(name, shape)), dtype=torch.float32).reshape(shape)


def main():
    w = song_reference.Weights()
    small = dict(song_reference.SMALL, channels=8, multipliers=(1, 1))
    with torch.no_grad():
        song_reference.Edm(w, **small, **song_reference.NCSN_PP)(torch.zeros(1, 3, 16, 16), torch.zeros(1))
    network = Module("VEPrecond", img_resolution=16, label_dim=0, use_fp16=False, sigma_min=0.02, sigma_max=100.0)
    network.model = build(w.shapes)
    data = collections.OrderedDict(ema=network, loss_fn=Module("VELoss", sigma_min=0.02), augment_pipe=None,
                                   dataset_kwargs=dict(path="cifar10-32x32.zip", use_labels=False))
    with open(f"{HERE}/edm_small.pkl", "wb") as file:
        pickle.dump(dict(data), file)


if __name__ == "__main__":
    main()
