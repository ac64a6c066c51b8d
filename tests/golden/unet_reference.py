"""Numbers of diffusers' UNet2DModel for tests/engine/nn_unet.rs and files in published layouts for tests/engine/nn_checkpoint.rs.

Run with python 3.11, torch 1.13, diffusers 0.21.4, numpy 1.24.2, safetensors 0.8.0 (a virtual environment on top of
Debian's python3-torch: pip install diffusers==0.21.4 "transformers<4.36" "huggingface_hub<0.20" accelerate==0.20.3
safetensors==0.8.0):

    python tests/golden/unet_reference.py

No weights of the compared networks are stored: both sides compute them from the names (`numbers_of_names.py`), exactly.
"""
import collections
import os

import torch
from diffusers import UNet2DModel
from safetensors.torch import save_file

from numbers_of_names import parameter, tensor

HERE = os.path.dirname(os.path.abspath(__file__))


def fill(network):
    state = {name: parameter(name, tuple(value.shape)) for name, value in network.state_dict().items()}
    network.load_state_dict(state)
    return network.eval()


def network(channels, multipliers, layers, attention, groups=32, classes=0, outputs=3, size=32):
    last = len(multipliers) - 1
    return fill(UNet2DModel(
        sample_size=size, in_channels=3, out_channels=outputs, layers_per_block=layers,
        block_out_channels=[channels * m for m in multipliers],
        down_block_types=["AttnDownBlock2D" if i in attention else "DownBlock2D" for i in range(last + 1)],
        up_block_types=["AttnUpBlock2D" if i in attention else "UpBlock2D" for i in range(last, -1, -1)],
        norm_num_groups=groups, norm_eps=1e-6, downsample_padding=0, flip_sin_to_cos=False, freq_shift=1,
        attention_head_dim=None, act_fn="silu", num_class_embeds=classes + 1 if classes else None))


def compare(into, case, net, shape, times, labels=None, gradients=()):
    x = tensor("input", shape).requires_grad_(True)
    times = torch.tensor(times, dtype=torch.float32)
    output = net(x, times, class_labels=None if labels is None else torch.tensor(labels)).sample
    into[f"{case}/output"] = output.detach().clone()
    if gradients:
        (output * tensor("probe", tuple(output.shape))).sum().backward()
        into[f"{case}/gradient/input"] = x.grad.clone()
        parameters = dict(net.named_parameters())
        for name in gradients:
            # The first thousand numbers of a large one.
            into[f"{case}/gradient/{name}"] = parameters[name].grad.reshape(-1)[:1000].clone()


def numbers():
    found = {}
    small = network(32, (1, 2), 1, (1,), size=8)
    compare(found, "small", small, (2, 3, 8, 8), [3.0, 737.0], gradients=(
        "conv_in.weight", "time_embedding.linear_1.weight", "down_blocks.0.resnets.0.norm1.weight",
        "down_blocks.0.downsamplers.0.conv.weight", "down_blocks.1.attentions.0.to_q.weight",
        "down_blocks.1.resnets.0.time_emb_proj.bias", "mid_block.attentions.0.to_k.weight",
        "mid_block.attentions.0.to_out.0.bias", "mid_block.resnets.1.conv2.weight",
        "up_blocks.0.resnets.1.conv_shortcut.weight", "up_blocks.0.upsamplers.0.conv.weight",
        "up_blocks.1.resnets.1.norm2.bias", "conv_norm_out.weight", "conv_out.bias"))
    classes = network(16, (1, 1, 2), 2, (0, 2), groups=8, classes=10, outputs=6, size=8)
    compare(found, "classes", classes, (3, 3, 8, 8), [-120.5, 0.0, 250.25], labels=[7, 10, 0],
            gradients=("class_embedding.weight", "down_blocks.0.attentions.1.to_v.weight", "conv_out.weight"))
    full = network(128, (1, 2, 2, 2), 2, (1,))
    assert sum(p.numel() for p in full.parameters()) == 35_746_307 and len(full.state_dict()) == 328
    with torch.no_grad():
        compare(found, "full", full, (1, 3, 16, 16), [437.0])
    found = {name: value.contiguous() for name, value in found.items()}
    save_file(found, f"{HERE}/unet_reference.safetensors")


def pesser(name, last=1):
    """The name in the layout of ermongroup/ddim and pesser/pytorch_diffusion, of a network whose lowest level is `last`."""
    part = name.split(".")
    if part[0] == "time_embedding":
        return ".".join(["temb", "dense", {"linear_1": "0", "linear_2": "1"}[part[1]], part[2]])
    if part[0] == "conv_norm_out":
        return "norm_out." + part[1]
    if part[0] in ("down_blocks", "up_blocks", "mid_block"):
        side = part[0].split("_")[0]
        if side == "mid":
            head, kind, index, rest = ["mid"], part[1], int(part[2]), part[3:]
        else:
            level = int(part[1]) if side == "down" else last - int(part[1])
            head, kind, index, rest = [side, str(level)], part[2], int(part[3]), part[4:]
        if kind in ("downsamplers", "upsamplers"):
            return ".".join(head + [kind.replace("samplers", "sample")] + rest)
        if kind == "resnets":
            rest[0] = {"time_emb_proj": "temb_proj", "conv_shortcut": "nin_shortcut"}.get(rest[0], rest[0])
            head += ["block_" + str(index + 1)] if side == "mid" else ["block", str(index)]
        else:
            rest = ["proj_out", rest[2]] if rest[0] == "to_out" else rest
            rest[0] = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v"}.get(rest[0], rest[0])
            head += ["attn_1"] if side == "mid" else ["attn", str(index)]
        return ".".join(head + rest)
    return name


def files():
    """One tiny network in every layout and container that is read, in half precision where the container allows."""
    net = network(8, (1, 2), 1, (1,), groups=4, size=8)
    state = {name: value.half() for name, value in net.state_dict().items()}
    save_file(state, f"{HERE}/unet_tiny.safetensors")
    old = collections.OrderedDict()
    for name, value in state.items():
        for new, was in ((".to_q.", ".query."), (".to_k.", ".key."), (".to_v.", ".value."), (".to_out.0.", ".proj_attn.")):
            name = name.replace(new, was)
        old[name] = value
    torch.save(old, f"{HERE}/unet_tiny_old_names.bin")
    ddim = collections.OrderedDict()
    for name, value in state.items():
        square = ".attentions." in name and value.ndim == 2
        ddim[pesser(name)] = value[:, :, None, None] if square else value
    assert len(ddim) == len(state)
    torch.save(ddim, f"{HERE}/unet_tiny_ddim.ckpt")
    torch.save(ddim, f"{HERE}/unet_tiny_ddim_legacy.ckpt", _use_new_zipfile_serialization=False)
    # A training checkpoint: prefixed names, an optimiser beside them, a transposed view and a shared storage.
    shared = torch.arange(12, dtype=torch.float32)
    training = {"model": {"module.a": shared.reshape(3, 4).t(), "module.b": shared[4:8]}, "step": 7,
                "optimizer": {"state": {0: {"step": 3, "exp_avg": torch.ones(2, dtype=torch.float64)}},
                              "param_groups": [{"lr": 2e-4, "betas": (0.9, 0.999), "amsgrad": False, "params": [0]}]},
                "big": 2**40, "none": None}
    torch.save(training, f"{HERE}/unet_views.pt")

    class Attack:
        def __reduce__(self):
            return os.system, ("echo executed",)

    torch.save({"weight": torch.ones(2), "attack": Attack()}, f"{HERE}/unet_attack.pt")


if __name__ == "__main__":
    torch.manual_seed(0)
    numbers()
    files()
