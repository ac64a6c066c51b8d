"""Writes step_back.json: how far a step back of a chain is from a Gaussian, for the study `forward`.

    python tests/golden/step_back.py > tests/golden/step_back.json

The first coordinate of the report's two far modes, standardised; Ho et al.'s betas, whose sum is kept for chains of
other lengths. For some steps and noisy numbers: KL(q(x_(t-1) | x_t) || N(its mean, its variance)) in nats, every
integral by scipy's adaptive quadrature (1.15.3), over pieces around the peaks of its factors.
"""

import json
import math

import numpy as np
from scipy.integrate import quad


def betas(steps):
    times = 1000 / steps
    return np.linspace(1e-4 * times, min(0.02 * times, 0.999), steps)


WEIGHTS = np.array([0.8, 0.2])
MODES = np.array([5.0, -5.0])
CENTRE = WEIGHTS @ MODES
SCALE = math.sqrt(WEIGHTS @ (MODES - CENTRE) ** 2 + 1)
MEANS, STD = (MODES - CENTRE) / SCALE, 1 / SCALE


def normal(x, mean, variance):
    return np.exp(-0.5 * (x - mean) ** 2 / variance) / np.sqrt(2 * np.pi * variance)


def divergence(steps, step, noisy):
    beta = betas(steps)
    power = np.cumprod(1 - beta)
    before = power[step - 2]

    def density(x):
        marginal = (WEIGHTS * normal(x, math.sqrt(before) * MEANS, before * STD**2 + 1 - before)).sum()
        return marginal * normal(noisy, math.sqrt(1 - beta[step - 1]) * x, beta[step - 1])

    centre, reach = noisy / math.sqrt(1 - beta[step - 1]), 14 * math.sqrt(beta[step - 1])
    ends = np.linspace(centre - reach, centre + reach, 29)

    def integral(f):
        return sum(quad(f, a, b, epsabs=1e-14, epsrel=1e-12, limit=200)[0] for a, b in zip(ends, ends[1:]))

    total = integral(density)
    mean = integral(lambda x: x * density(x)) / total
    variance = integral(lambda x: (x - mean) ** 2 * density(x)) / total

    def excess(x):
        p = density(x) / total
        return p * math.log(p / normal(x, mean, variance)) if p > 1e-300 else 0.0

    return integral(excess)


CASES = [(1000, 300, -0.5), (1000, 40, -1.0), (100, 10, -0.6), (20, 2, -1.0), (20, 6, -0.9), (20, 12, 0.3)]
rows = [{"steps": s, "step": t, "noisy": x, "divergence": divergence(s, t, x)} for s, t, x in CASES]
print(json.dumps(rows, indent=1))
