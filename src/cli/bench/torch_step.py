"""Times a training step and an evaluation of the training kit's network: KIT CHANNELS LAYERS BATCH SECONDS THREADS.

Prints a line of JSON. `scorefield bench --kit KIT` runs this where Python has torch.
"""
import json
import sys
import time

import torch

kit, channels, layers, batch, seconds, threads = sys.argv[1], *map(int, sys.argv[2:7])
sys.path.insert(0, kit)
from network import Denoiser, UNet  # noqa: E402

torch.set_num_threads(threads)
device = "cuda" if torch.cuda.is_available() else "cpu"
model = Denoiser(UNet(channels, layers=layers, dropout=0.0), "edm").to(device)
optimiser = torch.optim.Adam(model.parameters(), lr=1e-4)
x = torch.randn(batch, 3, 32, 32, device=device)
label = torch.arange(batch, device=device) % 10


def step():
    sigma = model.draw_sigma(batch, device)
    s = sigma.view(-1, 1, 1, 1)
    loss = (model.loss_weight(s) * (model(x + s * torch.randn_like(x), sigma, label) - x) ** 2).mean()
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    return float(loss)


@torch.no_grad()
def evaluation():
    return float(model(x, torch.full((batch,), 1.0, device=device), label).sum())


def median(work):
    work()
    times, start = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - start < seconds:
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return 1000 * sorted(times)[len(times) // 2]


print(json.dumps({"torch": torch.__version__, "device": device, "threads": threads,
                  "step_ms": median(step), "evaluation_ms": median(evaluation)}))
