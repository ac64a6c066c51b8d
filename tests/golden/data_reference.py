"""Reference numbers for the metrics of points in the plane, by NumPy and SciPy alone.

    pip install numpy==2.2.6 scipy==1.15.3
    python tests/golden/data_reference.py > tests/golden/data_reference.json
"""

import json

import numpy as np
import scipy
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist
from scipy.special import logsumexp
from scipy.stats import norm, wasserstein_distance

assert (np.__version__, scipy.__version__) == ("2.2.6", "1.15.3")

rng = np.random.default_rng(0)
left = np.round(rng.normal(size=(40, 2)) @ np.array([[1.0, 0.3], [0.0, 0.6]]), 4)
right = np.round(rng.normal(size=(55, 2)) * 0.8 + np.array([0.5, -0.2]), 4)

angles = np.array([0.1, 0.9, 1.7, 2.8])
directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
wasserstein = [wasserstein_distance(left @ d, right @ d) for d in directions]


def unbiased(kernel):
    def within(points):
        k = kernel(cdist(points, points))
        n = len(points)
        return (k.sum() - np.trace(k)) / (n * (n - 1))

    return within(left), within(right), kernel(cdist(left, right)).mean()


a, b, ab = unbiased(lambda d: d)
energy = 2 * ab - a - b
bandwidth = 0.7
a, b, ab = unbiased(lambda d: np.exp(-(d**2) / (2 * bandwidth**2)))
mmd = a + b - 2 * ab


def frechet(x, y):
    s, t = np.cov(x.T), np.cov(y.T)
    shift = x.mean(0) - y.mean(0)
    return float(shift @ shift + np.trace(s + t - 2 * np.real(sqrtm(s @ t))))


left4 = np.round(rng.normal(size=(30, 4)) @ rng.normal(size=(4, 4)), 4)
right4 = np.round(rng.normal(size=(25, 4)) + 0.3, 4)

count = min(len(left), len(right))


def share(points, centres):
    # Index 3 of a sort that includes the point itself is its third neighbour.
    radii = np.sort(cdist(centres, centres), axis=1)[:, 3]
    return float((cdist(points, centres) <= radii).any(axis=1).mean())


weights, means, stds = [0.5, 0.3, 0.2], [[1.0, -0.5], [-1.2, 0.4], [0.2, 1.5]], [0.6, 0.3, 1.1]
edges = np.linspace(-2, 2, 6)
cells = sum(
    w * np.outer(np.diff(norm.cdf(edges, m[1], s)), np.diff(norm.cdf(edges, m[0], s)))
    for w, m, s in zip(weights, means, stds)
)
alpha, sigma, places = 0.6, 0.8, [[0.0, 0.0], [1.3, -0.7], [-2.0, 2.5]]
log_density = [
    float(
        logsumexp(
            [
                np.log(w) + norm.logpdf(p, alpha * np.array(m), np.hypot(alpha * s, sigma)).sum()
                for w, m, s in zip(weights, means, stds)
            ]
        )
    )
    for p in places
]

print(
    json.dumps(
        {
            "left": left.tolist(),
            "right": right.tolist(),
            "angles": angles.tolist(),
            "wasserstein": [float(w) for w in wasserstein],
            "energy": float(energy),
            "bandwidth": bandwidth,
            "mmd": float(mmd),
            "frechet": frechet(left, right),
            "left4": left4.tolist(),
            "right4": right4.tolist(),
            "frechet4": frechet(left4, right4),
            "precision": share(left[:count], right[:count]),
            "recall": share(right[:count], left[:count]),
            "cells": cells.ravel().tolist(),
            "places": places,
            "log_density": log_density,
        }
    )
)
