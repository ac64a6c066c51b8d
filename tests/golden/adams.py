"""Writes adams.json: trajectories of iPNDM and DEIS, for the tests of the mathematics.

    python tests/golden/adams.py > tests/golden/adams.json

References, at the versions of diffusion_requirements.txt:

* iPNDM of order 4 with fixed coefficients: diffusers' IPNDMScheduler, its betas (which it reads as sigmas of a
  variance-preserving grid) being those of the run, in float64.
* iPNDM of every order with the coefficients of the grid, and tAB-DEIS: the definition, equation 15 of Zhang and Chen
  2023 (arXiv 2204.13902), with every coefficient by scipy's adaptive quadrature of 1/2 Psi(to, t) g(t)^2 / sigma(t)
  times a Lagrange polynomial over t, with f and g of the schedule's SDE. Nothing of it is shared with the program, which
  integrates over ln(sigma / alpha). The same code with polynomials in ln(sigma / alpha) is held against diffusers'
  DEISMultistepScheduler here, to 1e-12.

The model is the exact denoiser of diffusion.py.
"""

import json
import math
import sys

import numpy as np
import torch

torch.float32, torch.float = torch.float64, torch.float64
torch.set_default_dtype(torch.float64)

import diffusers  # noqa: E402
import scipy  # noqa: E402
from diffusers.schedulers import scheduling_deis_multistep, scheduling_ipndm  # noqa: E402
from scipy.integrate import quad  # noqa: E402

MIXTURE = [(0.7, -0.5, 0.2), (0.3, 1.0, 0.4)]
START = np.array([-1.1, 0.2, 1.7])


def denoise(x, alpha, sigma):
    """The exact E[data | x] and E[noise | x]."""
    logs, datas = [], []
    for weight, mean, std in MIXTURE:
        total = alpha**2 * std**2 + sigma**2
        logs.append(math.log(weight) - 0.5 * (math.log(total) + (x - alpha * mean) ** 2 / total))
        datas.append(mean + alpha * std**2 / total * (x - alpha * mean))
    logs = np.array(logs)
    weights = np.exp(logs - logs.max(axis=0))
    weights /= weights.sum(axis=0)
    data = (weights * np.array(datas)).sum(axis=0)
    return data, (x - alpha * data) / sigma


class Schedule:
    """alpha, sigma, drift f and g^2 of a forward SDE; the end of its integrals is cut at these knots."""

    def __init__(self, alpha, sigma, drift, g2, knots=()):
        self.alpha, self.sigma, self.drift, self.g2, self.knots = alpha, sigma, drift, g2, knots

    def rho(self, t):
        return self.sigma(t) / self.alpha(t)


def linear():
    """The VP SDE with beta from 0.1 to 20."""
    beta = lambda t: 0.1 + 19.9 * t
    integral = lambda t: 0.1 * t + 9.95 * t**2
    alpha = lambda t: math.exp(-0.5 * integral(t))
    sigma = lambda t: math.sqrt(-math.expm1(-integral(t)))
    return Schedule(alpha, sigma, lambda t: -0.5 * beta(t), beta)


def sub_vp():
    beta = lambda t: 0.1 + 19.9 * t
    integral = lambda t: 0.1 * t + 9.95 * t**2
    alpha = lambda t: math.exp(-0.5 * integral(t))
    sigma = lambda t: -math.expm1(-integral(t))
    return Schedule(alpha, sigma, lambda t: -0.5 * beta(t), lambda t: -beta(t) * math.expm1(-2 * integral(t)))


def flow():
    """alpha = 1 - t, sigma = t."""
    return Schedule(lambda t: 1 - t, lambda t: t, lambda t: -1 / (1 - t), lambda t: 2 * t / (1 - t))


def cosine():
    s = 0.008
    angle = lambda t: (t + s) / (1 + s) * math.pi / 2
    alpha = lambda t: math.cos(angle(t)) / math.cos(angle(0))
    drift = lambda t: -math.pi / 2 / (1 + s) * math.tan(angle(t))
    return Schedule(alpha, lambda t: math.sqrt(1 - alpha(t) ** 2), drift, lambda t: -2 * drift(t))


def exploding():
    """sigma from 0.01 to 20, geometric."""
    sigma = lambda t: 0.01 * 2000**t
    return Schedule(lambda t: 1.0, sigma, lambda t: 0.0, lambda t: 2 * math.log(2000) * sigma(t) ** 2)


def edm():
    """sigma = 20 t."""
    return Schedule(lambda t: 1.0, lambda t: 20 * t, lambda t: 0.0, lambda t: 2 * 20**2 * t)


def table():
    """DDPM's 1000 betas: step i at (i + 1) / 1000, ln alpha linear in between."""
    logs = np.concatenate([[0.0], 0.5 * np.cumsum(np.log1p(-np.linspace(1e-4, 0.02, 1000)))])

    def locate(t):
        i = min(max(math.ceil(t * 1000 - 1e-9), 1), 1000) - 1
        return i, t * 1000 - i

    def log_alpha(t):
        i, share = locate(t)
        return logs[i] + share * (logs[i + 1] - logs[i])

    drift = lambda t: (logs[locate(t)[0] + 1] - logs[locate(t)[0]]) * 1000
    return Schedule(
        lambda t: math.exp(log_alpha(t)),
        lambda t: math.sqrt(-math.expm1(2 * log_alpha(t))),
        drift,
        lambda t: -2 * drift(t),
        np.arange(1, 1001) / 1000,
    )


def coefficients(schedule, place, times, to):
    """Equation 15: one per noise estimate, at `times` with the newest first; the polynomial is one in `place(t)`."""
    places, now = [place(t) for t in times], times[0]

    def integrand(t, j):
        psi = schedule.alpha(to) / schedule.alpha(t)
        lagrange = np.prod([(place(t) - p) / (places[j] - p) for k, p in enumerate(places) if k != j])
        return 0.5 * psi * schedule.g2(t) / schedule.sigma(t) * lagrange

    inside = [k for k in schedule.knots if to + 1e-9 < k < now - 1e-9]
    ends = [now, *reversed(inside), to]
    rules = dict(epsabs=1e-15, epsrel=1e-13, limit=400)
    return [sum(quad(integrand, a, b, args=(j,), **rules)[0] for a, b in zip(ends, ends[1:])) for j in range(len(times))]


def follow(schedule, place, order, times, start):
    """The samples after each step but the last one to the clean level; starts with order 1."""
    x, past, trajectory = np.array(start), [], []
    for now, to in zip(times, times[1:]):
        past = [(now, denoise(x, schedule.alpha(now), schedule.sigma(now))[1]), *past][:order]
        x = schedule.alpha(to) / schedule.alpha(now) * x
        for c, (_, eps) in zip(coefficients(schedule, place, [t for t, _ in past], to), past):
            x = x + c * eps
        trajectory.append(x.tolist())
    return trajectory


# --- The definition against diffusers' DEIS, which is the same with another variable ------------------------------
for order in (1, 2, 3):
    scheduler = scheduling_deis_multistep.DEISMultistepScheduler(solver_order=order, lower_order_final=False)
    scheduler.set_timesteps(8)
    x, theirs = torch.tensor(START)[:, None, None, None], []
    for t in scheduler.timesteps:
        _, eps = denoise(x.flatten().numpy(), scheduler.alpha_t[t].item(), scheduler.sigma_t[t].item())
        x = scheduler.step(torch.tensor(eps)[:, None, None, None], t, x).prev_sample
        theirs.append(x.flatten().tolist())
    schedule = table()
    times = [(int(t) + 1) / 1000 for t in scheduler.timesteps] + [0.001]
    ours = follow(schedule, lambda t: math.log(schedule.rho(t)), order, times, START)
    worst = np.abs(np.array(ours) - np.array(theirs)).max()
    print(f"log-rho DEIS of order {order}: {worst:.1e} from diffusers", file=sys.stderr)
    assert worst < 1e-12, worst

out = {"versions": {"scipy": scipy.__version__, "diffusers": diffusers.__version__, "torch": torch.__version__, "numpy": np.__version__}}

# --- tAB-DEIS and iPNDM for the grid, on every kind of schedule ------------------------------------------------------
out["runs"] = {}
grids = {
    "linear": (linear(), np.linspace(1, 0.02, 8).tolist(), 1.0),
    "sub-vp": (sub_vp(), np.linspace(1, 0.02, 8).tolist(), 1.0),
    "flow": (flow(), [0.999, 0.9, 0.75, 0.5, 0.35, 0.2, 0.1, 0.03], 1.0),
    "cosine": (cosine(), [0.999, 0.9, 0.75, 0.5, 0.35, 0.2, 0.1, 0.03], 1.0),
    "exploding": (exploding(), np.linspace(1, 0.1, 8).tolist(), 20.0),
    "edm": (edm(), [(20 ** (1 / 7) + i / 7 * (0.01 ** (1 / 7) - 20 ** (1 / 7))) ** 7 / 20 for i in range(8)], 20.0),
    "table": (table(), [(i + 1) / 1000 for i in (999, 874, 749, 500, 375, 125, 20, 0)], 1.0),
}
for name, (schedule, times, scale) in grids.items():
    runs = {"times": times, "start": (scale * START).tolist()}
    for degree in (1, 2, 3):
        runs[f"deis-{degree}"] = follow(schedule, lambda t: t, degree + 1, times, runs["start"])
    for order in (1, 2, 3, 4):
        runs[f"ipndm-v-{order}"] = follow(schedule, schedule.rho, order, times, runs["start"])
    out["runs"][name] = runs

# --- diffusers' iPNDM on the same variance-preserving grids ----------------------------------------------------------
for name in ("linear", "cosine", "table"):
    schedule, times, _ = grids[name]
    sigmas = [schedule.sigma(t) for t in times]
    scheduler = scheduling_ipndm.IPNDMScheduler(trained_betas=sigmas)
    scheduler.set_timesteps(len(sigmas) - 1)
    assert scheduler.betas.dtype == torch.float64
    x, trajectory = torch.tensor(START), []
    for t, alpha, sigma in zip(scheduler.timesteps, scheduler.alphas.tolist(), scheduler.betas.tolist()):
        _, eps = denoise(x.numpy(), alpha, sigma)
        # It wants the output of a network whose noise estimate is sigma x + alpha output.
        x = scheduler.step((torch.tensor(eps) - sigma * x) / alpha, t, x).prev_sample
        trajectory.append(x.tolist())
    out["runs"][name]["ipndm-4"] = trajectory

json.dump(out, sys.stdout, indent=None, separators=(",", ":"))
sys.stdout.write("\n")
