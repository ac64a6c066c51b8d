"""Settings that diffusers keeps beside weights, and what it makes of them: for tests/engine/nn_diffusers.rs.

Run as unet_reference.py:

    python tests/golden/diffusers_settings.py

The networks' weights are computed from their names on both sides (numbers_of_names.py).
"""
import json
import math

import torch
from diffusers import DDIMScheduler, DDPMScheduler, UNet2DModel

from numbers_of_names import parameter, tensor
from unet_reference import HERE, fill

# google/ddpm-cifar10-32's settings on a small network.
SETTINGS = dict(sample_size=8, in_channels=3, out_channels=3, layers_per_block=1, block_out_channels=(32, 64),
                down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
                norm_num_groups=32, norm_eps=1e-6, act_fn="silu", downsample_padding=0, flip_sin_to_cos=False, freq_shift=1,
                attention_head_dim=None)
NETWORKS = dict(
    ddpm={}, heads=dict(attention_head_dim=8), times=dict(flip_sin_to_cos=True), shift=dict(freq_shift=0),
    padding=dict(downsample_padding=1), epsilon=dict(norm_eps=1e-2), groups=dict(norm_num_groups=16),
    classes=dict(num_class_embeds=10),
    defaults=dict(attention_head_dim=8, flip_sin_to_cos=True, freq_shift=0, downsample_padding=1, norm_eps=1e-5),
)
# google/ncsnpp-*'s settings on a small network: attention where diffusers has 32 groups, from 128 channels on.
SKIP = dict(block_out_channels=(32, 128), down_block_types=("SkipDownBlock2D", "AttnSkipDownBlock2D"),
            up_block_types=("AttnSkipUpBlock2D", "SkipUpBlock2D"), mid_block_scale_factor=2**0.5, norm_num_groups=None)
FOURIER = dict(SKIP, time_embedding_type="fourier")
SIGMA = 0.7
SKIPS = dict(skip_centred=dict(FOURIER, center_input_sample=True), skip_plain=FOURIER,
             skip_positional=dict(SKIP, flip_sin_to_cos=True, freq_shift=0))
SCHEDULERS = dict(
    ddpm=DDPMScheduler(), scaled=DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012),
    cosine=DDPMScheduler(beta_schedule="squaredcos_cap_v2"), long=DDPMScheduler(num_train_timesteps=4000, beta_end=0.005),
    velocity=DDIMScheduler(prediction_type="v_prediction"), data=DDPMScheduler(prediction_type="sample"),
)


def main():
    x = tensor("input", (1, 3, 8, 8))
    networks = []
    for name, more in NETWORKS.items():
        network = fill(UNet2DModel(**{**SETTINGS, **more}))
        labels = torch.tensor([9]) if "num_class_embeds" in more else None
        with torch.no_grad():
            output = network(x, 500, class_labels=labels).sample
        output = [float(f"{v:.8g}") for v in output.flatten().tolist()]
        networks.append(dict(name=name, settings=network.to_json_string(), time=500.0, output=output))
    for name, more in SKIPS.items():
        network = fill(UNet2DModel(**{**SETTINGS, **more}))
        fourier = more.get("time_embedding_type") == "fourier"
        if fourier:
            # One parameter that has two names in diffusers: published files have both.
            network.time_proj.weight.data.copy_(parameter("time_proj.weight", (SETTINGS["block_out_channels"][0],)))
        # Variance-exploding networks are told sigma, and divide by it in the end.
        times = torch.tensor([SIGMA]) if fourier else torch.tensor([500.0])
        # This project's pixels are from -1 to 1, which is what these see after centring; without it theirs are from 0 to 1.
        seen = (x + 1) / 2 if fourier else x
        with torch.no_grad():
            output = network(seen, times).sample * (SIGMA if fourier else 1)
        output = [float(f"{v:.8g}") for v in output.flatten().tolist()]
        time = math.log(SIGMA) if fourier else 500.0
        networks.append(dict(name=name, settings=network.to_json_string(), time=time, output=output))
    schedulers = []
    for name, scheduler in SCHEDULERS.items():
        last = scheduler.config.num_train_timesteps - 1
        kept = {str(t): float(scheduler.alphas_cumprod[t]) for t in (1, last // 10, last // 2, last - 1)}
        schedulers.append(dict(name=name, settings=scheduler.to_json_string(), kept=kept))
    with open(f"{HERE}/diffusers_settings.json", "w") as file:
        json.dump(dict(networks=networks, schedulers=schedulers), file, indent=0)
        file.write("\n")


if __name__ == "__main__":
    main()
