"""Writes likelihood.json: log-likelihoods by the probability flow and terms of the variational bound.

    python tests/golden/likelihood.py > tests/golden/likelihood.json

Independent of the Rust code: the score and its Jacobian come from torch's automatic differentiation of the log-density of
a mixture in the plane, the flow from scipy's DOP853 at 1e-12; the bound is the formulas of improved diffusion (Nichol and
Dhariwal 2021: normal_kl, discretized_gaussian_log_likelihood, learned range) written anew in numpy. Versions as in
diffusion_requirements.txt.
"""

import json
import math
import sys

import numpy as np
import scipy
import torch
from scipy.integrate import solve_ivp

torch.set_default_dtype(torch.float64)

# Weight, mean, standard deviation.
MIXTURE = [(0.5, (-0.8, 0.3), 0.35), (0.3, (0.9, 0.8), 0.2), (0.2, (0.4, -1.1), 0.5)]
POINTS = [(-0.8, 0.3), (0.2, 0.1), (1.3, -0.7), (0.9, 0.85), (-2.0, 1.5)]
PROBES = [(1.0, -1.0), (1.0, 1.0), (0.3, -1.7)]


def log_density(x, alpha, sigma):
    parts = []
    for weight, mean, std in MIXTURE:
        variance = alpha**2 * std**2 + sigma**2
        square = ((x - alpha * torch.tensor(mean)) ** 2).sum()
        parts.append(math.log(weight) - math.log(2 * math.pi * variance) - 0.5 * square / variance)
    return torch.logsumexp(torch.stack(parts), 0)


def score_and_jacobian(x, alpha, sigma):
    x = torch.tensor(x)
    f = lambda x: log_density(x, alpha, sigma)
    score = torch.autograd.functional.jacobian(f, x)
    return score.numpy(), torch.autograd.functional.hessian(f, x).numpy()


class Vp:
    """dx = -beta/2 x dt + sqrt(beta) dw, beta from 0.1 to 20."""

    prior = 1.0

    def level(self, t):
        integral = 0.1 * t + 9.95 * t**2
        return math.exp(-0.5 * integral), math.sqrt(-math.expm1(-integral))

    def rates(self, t):  # drift, half the square of the diffusion
        beta = 0.1 + 19.9 * t
        return -0.5 * beta, 0.5 * beta


class Ve:
    """dx = g dw, sigma = 0.01 * 2000^t."""

    prior = 20.0

    def level(self, t):
        return 1.0, 0.01 * 2000**t

    def rates(self, t):
        return 0.0, math.log(2000) * (0.01 * 2000**t) ** 2


def flow_likelihood(sde, x, start, end, probe=None):
    def slope(t, state):
        alpha, sigma = sde.level(t)
        drift, half = sde.rates(t)
        score, jacobian = score_and_jacobian(state[:2], alpha, sigma)
        trace = np.trace(jacobian) if probe is None else probe @ jacobian @ probe
        size = 2.0 if probe is None else probe @ probe
        return [*(drift * state[:2] - half * score), drift * size - half * trace]

    end_state = solve_ivp(slope, (start, end), [*x, 0.0], method="DOP853", rtol=1e-12, atol=1e-12).y[:, -1]
    latent = end_state[:2]
    prior = -0.5 * (latent @ latent) / sde.prior**2 - math.log(2 * math.pi * sde.prior**2)
    return latent.tolist(), float(prior + end_state[2])


out = {
    "versions": {"scipy": scipy.__version__, "torch": torch.__version__, "numpy": np.__version__},
    "mixture": [[w, *m, s] for w, m, s in MIXTURE],
    "points": POINTS,
    "probes": PROBES,
    "flow": {},
}
for name, sde in (("vp", Vp()), ("ve", Ve())):
    start = 1e-3 if name == "vp" else 0.0
    exact = [flow_likelihood(sde, np.array(x), start, 1.0) for x in POINTS]
    estimated = [[flow_likelihood(sde, np.array(x), start, 1.0, np.array(p))[1] for x in POINTS[:3]] for p in PROBES]
    alpha, sigma = sde.level(start)
    out["flow"][name] = {
        "start": start,
        "latents": [latent for latent, _ in exact],
        "log_density": [value for _, value in exact],
        "hutchinson": estimated,
        "marginal": [float(log_density(torch.tensor(x), alpha, sigma)) for x in POINTS],
    }

# --- the variational bound ----------------------------------------------------------------------------------------
# Grey values in [-1, 1], one number a sample; the model is the exact denoiser of data N(0.1, 0.3).
STEPS = 12
betas = np.linspace(0.002, 0.35, STEPS)
alphas = 1.0 - betas
power = np.cumprod(alphas)
power_before = np.append(1.0, power[:-1])
posterior_variance = betas * (1.0 - power_before) / (1.0 - power)
clipped = np.append(posterior_variance[1], posterior_variance[1:])
coefficient_data = betas * np.sqrt(power_before) / (1.0 - power)
coefficient_x = (1.0 - power_before) * np.sqrt(alphas) / (1.0 - power)

# Grey values and half the width of their bins: bytes, and the 17 values of small handwritten digits.
GREY = {"bytes": (np.array([0, 40, 128, 178, 255]) / 127.5 - 1.0, 1 / 255)}
GREY["seventeen"] = (np.array([0, 3, 8, 11, 16]) / 8.0 - 1.0, 1 / 16)
noise = np.random.default_rng(7).standard_normal((STEPS, 5)).round(3)


def predict_data(x, t):
    """E[data | x] for data N(0.1, 0.3)."""
    alpha, variance = math.sqrt(power[t]), 1.0 - power[t]
    total = alpha**2 * 0.3 + variance
    return 0.1 + alpha * 0.3 / total * (x - alpha * 0.1)


def normal_kl(mean1, logvar1, mean2, logvar2):
    return 0.5 * (-1.0 + logvar2 - logvar1 + np.exp(logvar1 - logvar2) + (mean1 - mean2) ** 2 * np.exp(-logvar2))


def cdf(x):
    return 0.5 * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (x + 0.044715 * x**3)))


def decoder(x, mean, log_std, half_width):
    centred, inverse = x - mean, np.exp(-log_std)
    upper, lower = cdf(inverse * (centred + half_width)), cdf(inverse * (centred - half_width))
    inner = np.log(np.maximum(upper - lower, 1e-12))
    left, right = np.log(np.maximum(upper, 1e-12)), np.log(np.maximum(1 - lower, 1e-12))
    return np.where(x < -0.999, left, np.where(x > 0.999, right, inner))


def log_variance(kind, t):
    if kind == "small":
        return math.log(clipped[t])
    if kind == "large":
        return math.log(np.append(clipped[1], betas[1:])[t])
    share = (math.sin(1.0 + t) + 1.0) / 2.0
    return share * math.log(betas[t]) + (1.0 - share) * math.log(clipped[t])


def terms_of(kind, grey, half_width):
    """_vb_terms_bpd of every step, and _prior_bpd."""
    terms = []
    for t in range(STEPS - 1, -1, -1):
        x = math.sqrt(power[t]) * grey + math.sqrt(1.0 - power[t]) * noise[t]
        mean = coefficient_data[t] * predict_data(x, t) + coefficient_x[t] * x
        if t == 0:
            term = -decoder(grey, mean, 0.5 * log_variance(kind, 0), half_width)
        else:
            true_mean = coefficient_data[t] * grey + coefficient_x[t] * x
            term = normal_kl(true_mean, math.log(clipped[t]), mean, log_variance(kind, t))
        terms.append(float(term.mean() / math.log(2.0)))
    prior = normal_kl(math.sqrt(power[-1]) * grey, math.log(1.0 - power[-1]), 0.0, 0.0)
    return {
        "steps": terms[:-1],
        "reconstruction": terms[-1],
        "prior": float(prior.mean() / math.log(2.0)),
        "decoder_log_std": 0.5 * log_variance(kind, 0),
    }


out["bound"] = {"betas": betas.tolist(), "noise": noise.tolist(), "of": {}}
for name, (grey, half_width) in GREY.items():
    terms = {kind: terms_of(kind, grey, half_width) for kind in ("small", "large", "learned")}
    out["bound"]["of"][name] = {"grey": grey.tolist(), "half_width": half_width, "terms": terms}

json.dump(out, sys.stdout, separators=(",", ":"))
sys.stdout.write("\n")
