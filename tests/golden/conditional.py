"""Shares of the modes of a mixture under conditions, by scipy's quadrature of its density, for tests/pure/control_plane.rs.

    (environment: diffusion_requirements.txt)
    python tests/golden/conditional.py > tests/golden/conditional.json
"""

import json
import sys

import numpy
from scipy.integrate import dblquad, quad

weights = numpy.array([0.5, 0.3, 0.2])
means = numpy.array([[-1.5, -0.8], [1.4, -0.6], [0.2, 1.5]])
stds = numpy.array([0.6, 0.5, 0.7])
FAR = 8.0


def parts(x):
    """Weight times density of every mode at a point."""
    square = ((x - means) ** 2).sum(1)
    return weights * numpy.exp(-square / (2 * stds**2)) / (2 * numpy.pi * stds**2)


def shares(integral):
    """The means of the modes' responsibilities where the density is what `integral` integrates it with."""
    found = numpy.array([integral(k) for k in range(len(weights))])
    return (found / found.sum()).tolist()


cases = []
for direction in ([1.0, 0.0], [numpy.sqrt(0.5)] * 2):
    for value, noise in ((0.5, 0.0), (-0.3, 0.4)):
        along, across = numpy.array(direction), numpy.array([-direction[1], direction[0]])
        point = lambda s, a: s * along + a * across
        if noise == 0:
            # Along the line that was observed.
            of = shares(lambda k: quad(lambda a: parts(point(value, a))[k], -FAR, FAR, epsabs=1e-13, limit=400)[0])
        else:
            seen = lambda s: numpy.exp(-((s - value) ** 2) / (2 * noise**2))
            of = shares(
                lambda k: dblquad(lambda a, s: seen(s) * parts(point(s, a))[k], -FAR, FAR, -FAR, FAR, epsabs=1e-10)[0]
            )
        cases.append({"direction": direction, "value": value, "noise": noise, "shares": of})

classes = []
for marked in range(len(weights)):
    # Of points of one mode, where modes overlap, others have a part.
    part = lambda y, x, k: parts(numpy.array([x, y]))[marked] * (lambda p: p[k] / p.sum())(parts(numpy.array([x, y])))
    centre, reach = means[marked], 7 * stds[marked]
    box = (centre[0] - reach, centre[0] + reach, centre[1] - reach, centre[1] + reach)
    classes.append(shares(lambda k: dblquad(part, *box, args=(k,), epsabs=1e-8)[0]))

mixture = [[w, m.tolist(), s] for w, m, s in zip(weights.tolist(), means, stds.tolist())]
json.dump({"mixture": mixture, "observations": cases, "classes": classes}, sys.stdout)
