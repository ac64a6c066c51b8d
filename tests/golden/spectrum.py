"""Gaussian data along a chain by numpy's matrices: divergences from the prior and recovered shares, for tests/pure/blocks.rs.

    apt-get install python3-numpy        # 1.24.2 on Debian 12
    /usr/bin/python3 tests/golden/spectrum.py > tests/golden/spectrum.json
"""

import json
import sys

import numpy

PIXELS, STEPS = 4, 1000
rng = numpy.random.default_rng(3)
basis, _ = numpy.linalg.qr(rng.standard_normal((PIXELS**2, PIXELS**2)))
# From far above unit variance to none, as digits have it.
variances = numpy.concatenate([numpy.geomspace(3, 1e-3, PIXELS**2 - 2), [0, 0]])
covariance = (basis * variances) @ basis.T
mean = rng.standard_normal(PIXELS**2)

squared_cosine = lambda i: numpy.cos((i / STEPS + 0.008) / 1.008 * numpy.pi / 2) ** 2
step = numpy.arange(STEPS)
betas = {
    "linear": numpy.linspace(1e-4, 0.02, STEPS),
    "cosine": numpy.minimum(1 - squared_cosine(step + 1) / squared_cosine(step), 0.999),
}

cases = []
for side in (1, 2, 3):
    # Every pixel of 4 x 4 becomes a block.
    repeat = numpy.kron(
        numpy.kron(numpy.eye(PIXELS), numpy.ones((side, 1))), numpy.kron(numpy.eye(PIXELS), numpy.ones((side, 1)))
    )
    large, centre = repeat @ covariance @ repeat.T, repeat @ mean
    for name, beta in betas.items():
        signal = numpy.cumprod(1 - beta)
        for at in (99, 499, 749, 799, 949, 999):
            noisy = signal[at] * large + (1 - signal[at]) * numpy.eye(len(large))
            _, log_determinant = numpy.linalg.slogdet(noisy)
            divergence = 0.5 * (
                numpy.trace(noisy) - len(noisy) - log_determinant + signal[at] * centre @ centre
            )
            cross = numpy.sqrt(signal[at]) * large
            recovered = numpy.trace(cross @ numpy.linalg.solve(noisy, cross)) / numpy.trace(large)
            cases.append(
                {"side": side, "table": name, "step": at, "divergence": divergence, "recovered": recovered}
            )
json.dump({"mean": mean.tolist(), "covariance": covariance.tolist(), "cases": cases}, sys.stdout)
print()
