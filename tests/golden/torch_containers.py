"""Small files as torch saves them, for tests/engine/nn_checkpoint.rs: things beside weights that torch's safe loader reads, and the
older container with every protocol of pickle. Run as unet_reference.py (torch alone is needed):

    python tests/golden/torch_containers.py
"""
import collections
import os

import numpy
import torch

HERE = os.path.dirname(os.path.abspath(__file__))
WEIGHTS = collections.OrderedDict(weight=torch.arange(6, dtype=torch.float32).reshape(2, 3), bias=torch.tensor([0.5, -0.25]))


class Settings:
    """What a training program may have kept beside its weights: a class that only it knows."""

    def __init__(self):
        self.rate, self.name = 1e-4, "run"


def main():
    beside = dict(set={1, 2}, frozen=frozenset([3]), size=torch.Size([2, 3]), device=torch.device("cpu"), dtype=torch.float16,
                  bytes=b"abc", array=numpy.float64(2.5), settings=Settings(), state_dict=WEIGHTS, step=10**12, rate=0.1)
    torch.save(beside, f"{HERE}/torch_beside.pt")
    for protocol in (2, 3, 4, 5):
        torch.save(dict(beside), f"{HERE}/torch_old_{protocol}.pt", pickle_protocol=protocol,
                   _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    main()
