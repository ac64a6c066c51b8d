"""Writes diffusion.json: what independent implementations compute, for the tests of the mathematics.

    python tests/golden/diffusion.py > tests/golden/diffusion.json

References: diffusers (schedules and schedulers), k-diffusion (sampling.py), scipy (RK45), at the versions of
diffusion_requirements.txt. diffusers makes its tables in float32; here its name for that type is pointed at float64 while
the tables are made, so that the formulas are theirs and the precision is ours. The model is the exact denoiser of a
mixture of two Gaussians in one dimension, batches of three.
"""

import importlib
import json
import math
import sys
import types

import numpy as np
import torch

torch.float32, torch.float = torch.float64, torch.float64
torch.set_default_dtype(torch.float64)

import diffusers  # noqa: E402
from diffusers.schedulers import (  # noqa: E402
    scheduling_ddim,
    scheduling_ddpm,
    scheduling_dpmsolver_multistep,
    scheduling_sde_ve,
    scheduling_sde_vp,
    scheduling_unipc_multistep,
)
import scipy  # noqa: E402
from scipy.integrate import solve_ivp  # noqa: E402

# k_diffusion/__init__.py wants half of the scientific world; sampling.py alone needs one function of its package.
package = types.ModuleType("k_diffusion")
spec = importlib.util.find_spec("k_diffusion")
package.__path__ = list(spec.submodule_search_locations)
utils = types.ModuleType("k_diffusion.utils")
utils.append_dims = lambda x, dims: x[(...,) + (None,) * (dims - x.ndim)]
sys.modules.update({"k_diffusion": package, "k_diffusion.utils": utils})
package.utils = utils
for absent in ("torchsde", "torchdiffeq"):
    sys.modules[absent] = types.ModuleType(absent)
sys.modules["torchdiffeq"].odeint = None
sampling = importlib.import_module("k_diffusion.sampling")

# Weight, mean, standard deviation.
MIXTURE = [(0.7, -0.5, 0.2), (0.3, 1.0, 0.4)]


def denoise(x, alpha, sigma):
    """The exact E[data | x] and E[noise | x]."""
    x = np.asarray(x, dtype=np.float64)
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


class Noise:
    """Fixed noise, handed out in order."""

    def __init__(self, seed):
        self.random, self.drawn = np.random.default_rng(seed), []

    def __call__(self, *args, **kwargs):
        z = self.random.standard_normal(3).round(3)
        self.drawn.append(z.tolist())
        return torch.tensor(z)[:, None, None, None]


out = {"versions": {"scipy": scipy.__version__, "diffusers": diffusers.__version__, "torch": torch.__version__, "numpy": np.__version__}}


def table_schedule(**kwargs):
    return scheduling_ddpm.DDPMScheduler(num_train_timesteps=1000, clip_sample=False, **kwargs)


# --- schedules ---------------------------------------------------------------------------------------------------
PICKED = [0, 1, 10, 123, 500, 900, 998, 999]
tables = {
    "linear": dict(beta_schedule="linear", beta_start=1e-4, beta_end=0.02),
    "scaled-linear": dict(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012),
    "cosine": dict(beta_schedule="squaredcos_cap_v2"),
    "sigmoid": dict(beta_schedule="sigmoid", beta_start=1e-4, beta_end=0.02),
}
out["steps"] = PICKED
out["tables"] = {}
for name, kwargs in tables.items():
    scheduler = table_schedule(**kwargs)
    assert scheduler.betas.dtype == torch.float64
    out["tables"][name] = {
        "betas": scheduler.betas[PICKED].tolist(),
        "signal_powers": scheduler.alphas_cumprod[PICKED].tolist(),
    }
out["karras"] = sampling.get_sigmas_karras(18, 0.002, 80.0).tolist()
out["geometric"] = sampling.get_sigmas_exponential(10, 0.01, 50.0).tolist()
out["vp_sigmas"] = sampling.get_sigmas_vp(10, 19.9, 0.1, 1e-3).tolist()
out["spacings"] = {}
for spacing in ("leading", "linspace", "trailing"):
    for count in (3, 7, 10, 50):
        scheduler = table_schedule(timestep_spacing=spacing)
        scheduler.set_timesteps(count)
        out["spacings"][f"{spacing}-{count}"] = scheduler.timesteps.tolist()

# --- schedulers of diffusers on the linear table ------------------------------------------------------------------
START = [-1.1, 0.2, 1.7]
runs = {}


def schedule_run(name, module, scheduler, steps, **step_kwargs):
    """A trajectory, the steps of the chain it visits and the noise it used."""
    noise = Noise(len(runs))
    module.randn_tensor = lambda *a, **k: noise()
    scheduler.set_timesteps(steps)
    x, trajectory = torch.tensor(START)[:, None, None, None], []
    for t in scheduler.timesteps:
        power = scheduler.alphas_cumprod[t].item()
        _, eps = denoise(x.numpy(), math.sqrt(power), math.sqrt(1 - power))
        x = scheduler.step(torch.tensor(eps), t, x, **step_kwargs).prev_sample
        trajectory.append(x.flatten().tolist())
    runs[name] = {"steps": [int(t) for t in scheduler.timesteps], "noise": noise.drawn, "trajectory": trajectory}


linear = tables["linear"]
for variance in ("fixed_small", "fixed_large"):
    scheduler = table_schedule(variance_type=variance, **linear)
    schedule_run(f"ddpm-{variance}", scheduling_ddpm, scheduler, 10)
for eta in (0.0, 0.5, 1.0):
    scheduler = scheduling_ddim.DDIMScheduler(num_train_timesteps=1000, clip_sample=False, **linear)
    schedule_run(f"ddim-{eta}", scheduling_ddim, scheduler, 10, eta=eta)
for steps in (8, 20):
    for order in (2, 3):
        scheduler = scheduling_dpmsolver_multistep.DPMSolverMultistepScheduler(solver_order=order, **linear)
        schedule_run(f"dpmpp-{order}m-{steps}", scheduling_dpmsolver_multistep, scheduler, steps)
    scheduler = scheduling_dpmsolver_multistep.DPMSolverMultistepScheduler(
        solver_order=2, algorithm_type="sde-dpmsolver++", **linear
    )
    schedule_run(f"dpmpp-sde-{steps}", scheduling_dpmsolver_multistep, scheduler, steps)
for order in (1, 2, 3):
    for basis in ("bh1", "bh2"):
        scheduler = scheduling_unipc_multistep.UniPCMultistepScheduler(solver_order=order, solver_type=basis, **linear)
        schedule_run(f"unipc-{order}-{basis}-8", scheduling_unipc_multistep, scheduler, 8)


def learned_run(name, steps):
    """DDPM with a learned variance: beside the noise the model says v = sin(3 x), between the two fixed variances."""
    noise = Noise(len(runs))
    scheduling_ddpm.randn_tensor = lambda *a, **k: noise()
    scheduler = table_schedule(variance_type="learned_range", **linear)
    scheduler.set_timesteps(steps)
    x, trajectory = torch.tensor(START)[:, None, None, None], []
    for t in scheduler.timesteps:
        power = scheduler.alphas_cumprod[t].item()
        _, eps = denoise(x.numpy(), math.sqrt(power), math.sqrt(1 - power))
        x = scheduler.step(torch.cat([torch.tensor(eps), torch.sin(3 * x)], dim=1), t, x).prev_sample
        trajectory.append(x.flatten().tolist())
    runs[name] = {"steps": [int(t) for t in scheduler.timesteps], "noise": noise.drawn, "trajectory": trajectory}


learned_run("ddpm-learned_range", 10)
out["table_runs"] = runs

# --- score_sde's samplers, as in diffusers ------------------------------------------------------------------------
runs = {}
count = 12
noise = Noise(100)
scheduling_sde_vp.randn_tensor = lambda *a, **k: noise()
scheduler = scheduling_sde_vp.ScoreSdeVpScheduler(beta_min=0.1, beta_max=20, sampling_eps=1 / count)
scheduler.set_timesteps(count)
x, trajectory = torch.tensor(START)[:, None, None, None], []
for i in range(count):
    t = torch.tensor(1 - i / count)
    integral = 0.1 * t + 9.95 * t**2
    alpha, sigma = math.exp(-0.5 * integral), math.sqrt(-math.expm1(-integral))
    _, eps = denoise(x.numpy(), alpha, sigma)
    x, mean = scheduler.step_pred(torch.tensor(eps), x, t)
    trajectory.append(x.flatten().tolist())
runs["euler-maruyama"] = {"noise": noise.drawn, "trajectory": trajectory}

for corrections in (0, 2):
    noise = Noise(101 + corrections)
    scheduling_sde_ve.randn_tensor = lambda *a, **k: noise()
    scheduler = scheduling_sde_ve.ScoreSdeVeScheduler(snr=0.16, sigma_min=0.01, sigma_max=20.0)
    scheduler.set_timesteps(count)
    scheduler.set_sigmas(count, 0.01, 20.0)
    x, trajectory = 20.0 * torch.tensor(START)[:, None, None, None], []
    for i in range(count - 1, -1, -1):
        sigma = scheduler.discrete_sigmas[i].item()
        for _ in range(corrections):
            _, eps = denoise(x.numpy(), 1.0, sigma)
            x = scheduler.step_correct(torch.tensor(-eps / sigma), x).prev_sample
        _, eps = denoise(x.numpy(), 1.0, sigma)
        result = scheduler.step_pred(torch.tensor(-eps / sigma), torch.tensor((i + 0.5) / (count - 1)), x)
        x = result.prev_sample
        trajectory.append((result.prev_sample_mean if i == 0 else x).flatten().tolist())
    runs[f"predictor-corrector-{corrections}"] = {"noise": noise.drawn, "trajectory": trajectory}
out["sde_runs"] = runs

# --- k-diffusion, alpha = 1 ---------------------------------------------------------------------------------------
runs = {}
sigmas = sampling.get_sigmas_karras(8, 0.01, 20.0)
START_VE = 20.0 * torch.tensor(START)[:, None, None, None]


def model(x, sigma, **kwargs):
    return torch.tensor(denoise(x.numpy(), 1.0, float(sigma.flatten()[0]))[0])


def k_run(name, sampler, seed=0, **kwargs):
    noise, trajectory = Noise(seed), []
    sampling.torch.randn_like = lambda x: noise()
    if "noise_sampler" in kwargs:
        kwargs["noise_sampler"] = lambda *a: noise()
    end = sampler(model, START_VE.clone(), sigmas, disable=True, callback=lambda d: trajectory.append(d["x"].flatten().tolist()), **kwargs)
    # The callback shows the sample before each step.
    runs[name] = {"noise": noise.drawn, "trajectory": trajectory[1:] + [end.flatten().tolist()]}


k_run("euler", sampling.sample_euler)
k_run("heun", sampling.sample_heun)
for name, churn, s_noise in (("heun-churn", 3.0, 1.01), ("heun-churn-most", 100.0, 1.0)):
    # Its callback shows the sample with the churn's noise already in it, so step by step, the churn shared out.
    noise, x, trajectory = Noise(int(churn)), START_VE.clone(), []
    sampling.torch.randn_like = lambda x: noise()
    for i in range(len(sigmas) - 1):
        each = churn / (len(sigmas) - 1)
        x = sampling.sample_heun(model, x, sigmas[i : i + 2], disable=True, s_churn=each, s_noise=s_noise)
        trajectory.append(x.flatten().tolist())
    runs[name] = {"noise": noise.drawn, "trajectory": trajectory}
k_run("dpmpp-2m", sampling.sample_dpmpp_2m)
k_run("dpmpp-2m-sde", sampling.sample_dpmpp_2m_sde, 9, noise_sampler=None)
solver = sampling.DPMSolver(model)
ts = [-math.log(s) for s in sigmas[:-1].tolist()]
for order in (1, 2, 3):
    x, trajectory = START_VE.clone(), []
    for t, t_next in zip(ts, ts[1:]):
        step = getattr(solver, f"dpm_solver_{order}_step")
        x, _ = step(x, torch.tensor(t), torch.tensor(t_next))
        trajectory.append(x.flatten().tolist())
    runs[f"dpm-{order}"] = {"noise": [], "trajectory": trajectory}
out["k_sigmas"] = sigmas.tolist()
out["k_runs"] = runs

# --- scipy's RK45 on the probability-flow ODE of the VP SDE ------------------------------------------------------
out["rk45"] = {}
for tolerance in (1e-3, 1e-5, 1e-7):

    def flow(t, x):
        integral = 0.1 * t + 9.95 * t**2
        alpha, sigma = math.exp(-0.5 * integral), math.sqrt(-math.expm1(-integral))
        _, eps = denoise(x, alpha, sigma)
        beta = 0.1 + 19.9 * t
        return -0.5 * beta * x + 0.5 * beta * eps / sigma

    solution = solve_ivp(flow, (1.0, 1e-3), [1.3], rtol=tolerance, atol=tolerance, method="RK45")
    out["rk45"][str(tolerance)] = {
        "evaluations": solution.nfev,
        "times": solution.t.tolist(),
        "trajectory": solution.y[0].tolist(),
    }

json.dump(out, sys.stdout, indent=None, separators=(",", ":"))
sys.stdout.write("\n")
