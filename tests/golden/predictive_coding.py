"""Reference numbers for predictive coding networks, for tests/engine/nn_coding.rs: own code, numpy in double precision, every
gradient checked here.

    python3 tests/golden/predictive_coding.py > tests/golden/predictive_coding.json    # numpy only; the checks go to stderr

Conventions (those of Whittington and Bogacz 2017 and of jpc): layer l = 1..L predicts
    u_l = s_l W_l f(x_{l-1}) + b_l  (+ x_{l-1} where layer l has a skip),   f = identity on the image x_0, x_L = label,
    e_l = x_l - u_l,   E = sum_{l<L} |e_l|^2 / 2 + loss(u_L, x_L),  loss = |x_L - u_L|^2 / 2 or cross-entropy,
    inference  x_l <- x_l - eta (e_l - f'(x_l) s_{l+1} W_{l+1}^T e_{l+1} (- e_{l+1} where layer l+1 has a skip)), 0 < l < L,
    all layers at once, from the forward pass; learning  -dE/dW_l = s_l e_l f(x_{l-1})^T, mean over the batch.
With cross-entropy e_L = x_L - softmax(u_L). Bidirectional (Oliviers et al. 2025, arXiv 2505.23415; Chen et al. 2025 says the
same in words): E += a_b sum_{l<L} |d_l|^2 / 2,  d_l = x_l - (V_{l+1} f(x_{l+1}) + c_{l+1}), f = identity on the label.
"""

import json
import sys

import numpy as np

SIZES, ROWS, STEPS, ETA = [5, 4, 4, 4, 3], 3, 6, 0.2
generator = np.random.RandomState(0)


def rounded(*shape, scale=1.0):
    """Numbers that are exact in single precision."""
    return np.round(scale * generator.randn(*shape) * 1024) / 1024


L = len(SIZES) - 1
W = [rounded(b, a, scale=a**-0.5) for a, b in zip(SIZES, SIZES[1:])]
B = [rounded(b, scale=0.1) for b in SIZES[1:]]
V = [rounded(a, b, scale=b**-0.5) for a, b in zip(SIZES, SIZES[1:])]
C = [rounded(a, scale=0.1) for a in SIZES[:-1]]
X = rounded(ROWS, SIZES[0])
Y = np.eye(SIZES[-1])[[0, 2, 1]]


class Net:
    def __init__(self, skip=False, back=0.0, loss="square", linear=False, scales=None):
        self.skip, self.back, self.loss, self.linear = skip, back, loss, linear
        self.s = scales or [1.0] * L

    def f(self, x):
        return (x, np.ones_like(x)) if self.linear else (np.tanh(x), 1 - np.tanh(x) ** 2)

    def has_skip(self, l):  # layer l + 1, counted from 0
        return self.skip and 0 < l < L - 1

    def active(self, l, x):
        return x if l in (0, L) else self.f(x)[0]

    def predict(self, l, x, w=None):
        w = w or W
        u = self.s[l] * self.active(l, x) @ w[l].T + B[l]
        return u + x if self.has_skip(l) else u

    def forward(self):
        xs = [X]
        for l in range(L):
            xs.append(self.predict(l, xs[-1]))
        return xs

    def errors(self, xs):
        us = [self.predict(l, xs[l]) for l in range(L)]
        e = [xs[l + 1] - us[l] for l in range(L)]
        if self.loss == "cross-entropy":
            p = np.exp(us[-1] - us[-1].max(1, keepdims=True))
            e[-1] = xs[L] - p / p.sum(1, keepdims=True)
        return e, us

    def backward_errors(self, xs):
        return [xs[l] - (self.active(l + 1, xs[l + 1]) @ V[l].T + C[l]) for l in range(L)]

    def energies(self, xs, w=None):
        us = [self.predict(l, xs[l], w) for l in range(L)]
        parts = [0.5 * ((xs[l + 1] - us[l]) ** 2).sum() for l in range(L)]
        if self.loss == "cross-entropy":
            top = us[-1].max(1, keepdims=True)
            parts[-1] = -(xs[L] * (us[-1] - top - np.log(np.exp(us[-1] - top).sum(1, keepdims=True)))).sum()
        if self.back:
            parts += [0.5 * self.back * (d**2).sum() for d in self.backward_errors(xs)]
        return parts

    def energy(self, xs, w=None):
        return sum(self.energies(xs, w))

    def slopes(self, xs):
        """dE/dx_l of every hidden layer."""
        e, _ = self.errors(xs)
        d = self.backward_errors(xs) if self.back else None
        out = []
        for l in range(1, L):
            bend = self.f(xs[l])[1]
            g = e[l - 1] - bend * (self.s[l] * e[l] @ W[l])
            if self.has_skip(l):
                g = g - e[l]
            if self.back:
                g = g + self.back * (d[l] - bend * (d[l - 1] @ V[l - 1]))
            out.append(g)
        return out

    def infer(self, steps, eta):
        xs = self.forward()[:L] + [Y]
        trace = [self.energies(xs)]
        for _ in range(steps):
            g = self.slopes(xs)
            xs = [xs[0]] + [x - eta * d for x, d in zip(xs[1:L], g)] + [Y]
            trace.append(self.energies(xs))
        return xs, trace

    def learning(self, xs):
        """-dE/dW_l, -dE/db_l, mean over the batch."""
        e, _ = self.errors(xs)
        return [self.s[l] * e[l].T @ self.active(l, xs[l]) / ROWS for l in range(L)], [e[l].mean(0) for l in range(L)]

    def backprop(self):
        """-d loss / dW of the forward network, mean over the batch."""
        xs = self.forward()
        xs[L] = Y
        e, _ = self.errors(xs)
        back, out = e[-1], [None] * L
        for l in reversed(range(L)):
            out[l] = self.s[l] * back.T @ self.active(l, xs[l]) / ROWS
            if l:
                down = self.s[l] * back @ W[l] * self.f(xs[l])[1]
                back = down + back if self.has_skip(l) else down
        return out

    def fixed_prediction(self):
        """Millidge et al. 2020: predictions and slopes frozen at the forward pass, eta = 1, one sweep from the top."""
        xs = self.forward()
        e, _ = self.errors(xs[:L] + [Y])
        eps, out = [None] * L, [None] * L
        eps[-1] = e[-1]
        for l in reversed(range(1, L)):
            down = self.s[l] * eps[l] @ W[l] * self.f(xs[l])[1]
            eps[l - 1] = down + eps[l] if self.has_skip(l) else down
        for l in range(L):
            out[l] = self.s[l] * eps[l].T @ self.active(l, xs[l]) / ROWS
        return out

    def zero_divergence(self):
        """Z-IL (Song et al. 2020): eta = 1, all layers at once, layer L - t learns after t steps of inference."""
        xs, out = self.forward()[:L] + [Y], [None] * L
        for t in range(L):
            w, _ = self.learning(xs)
            out[L - 1 - t] = w[L - 1 - t]
            g = self.slopes(xs)
            xs = [xs[0]] + [x - d for x, d in zip(xs[1:L], g)] + [Y]
        return out

    def error_inference(self, steps, eta):
        """Goemaere et al. 2025: the errors are what moves; slopes by reverse mode."""
        es = [np.zeros((ROWS, n)) for n in SIZES[1:-1]]
        for step in range(steps + 1):
            xs = [X]
            for l in range(L - 1):
                xs.append(self.predict(l, xs[-1]) + es[l])
            if step == steps:
                break
            e, _ = self.errors(xs + [Y])
            g = -e[-1]
            for l in reversed(range(1, L)):
                down = self.s[l] * g @ W[l] * self.f(xs[l])[1]
                g = down + g if self.has_skip(l) else down
                es[l - 1] = es[l - 1] - eta * (es[l - 1] + g)
        return xs + [Y], es


def numbers(*arrays):
    return [float(f"{v:.12g}") for a in arrays for v in np.asarray(a).ravel()]


def worst(a, b):
    return max(float(np.abs(p - q).max()) for p, q in zip(a, b))


def check(name, size, bound):
    print(f"{name}: {size:.2e}", file=sys.stderr)
    assert size <= bound, name


golden = {"sizes": SIZES, "rows": ROWS, "steps": STEPS, "eta": ETA, "w": numbers(*W), "b": numbers(*B), "v": numbers(*V),
          "c": numbers(*C), "x": numbers(X), "y": numbers(Y), "cases": {}}
cases = {"plain": Net(), "cross-entropy": Net(loss="cross-entropy"), "skip": Net(skip=True),
         "bidirectional": Net(back=0.25), "all": Net(skip=True, back=0.5, loss="cross-entropy"),
         "scaled": Net(skip=True, scales=[SIZES[0] ** -0.5] + [(SIZES[1] * L) ** -0.5] * (L - 2) + [1 / SIZES[1]])}
for name, net in cases.items():
    xs, trace = net.infer(STEPS, ETA)
    g, h = net.slopes(xs), 1e-6
    for l in range(1, L):  # difference quotients
        for i in np.ndindex(xs[l].shape):
            up, down = [x.copy() for x in xs], [x.copy() for x in xs]
            up[l][i] += h
            down[l][i] -= h
            assert abs((net.energy(up) - net.energy(down)) / (2 * h) - g[l - 1][i]) < 1e-8, (name, l, i)
    w, b = net.learning(xs)
    for l in range(L):
        for i in np.ndindex(W[l].shape):
            up, down = [q.copy() for q in W], [q.copy() for q in W]
            up[l][i] += h
            down[l][i] -= h
            assert abs(-(net.energy(xs, up) - net.energy(xs, down)) / (2 * h) / ROWS - w[l][i]) < 1e-8, (name, l, i)
    totals = [sum(t) for t in trace]
    assert all(a > b for a, b in zip(totals, totals[1:])), name
    golden["cases"][name] = {"energies": [numbers(t) for t in trace], "states": numbers(*xs[1:L]), "dw": numbers(*w),
                             "db": numbers(*b), "backprop": numbers(*net.backprop())}
    if not net.back:
        moved, es = net.error_inference(STEPS, ETA)
        golden["cases"][name]["error-inference"] = numbers(*moved[1:L])
        # Both end at the same place: there the slopes of the states vanish too.
        far, _ = net.error_inference(4000, 0.1)
        check(f"{name}: slope of the states where the errors' inference ends", max(np.abs(s).max() for s in net.slopes(far)), 1e-9)

plain, skipped = cases["plain"], cases["skip"]
for name, net in (("plain", plain), ("skip", skipped), ("cross-entropy", cases["cross-entropy"])):
    check(f"{name}: fixed predictions against backpropagation", worst(net.fixed_prediction(), net.backprop()), 1e-15)
check("plain: Z-IL against backpropagation", worst(plain.zero_divergence(), plain.backprop()), 1e-15)
# After t steps from the forward pass an error has come no further down than layer L - t.
for t in range(L):
    e, _ = plain.errors(plain.infer(t, ETA)[0])
    assert all(np.abs(e[l]).max() == 0 for l in range(L - 1 - t)) and np.abs(e[L - 1 - t]).max() > 0

linear = Net(linear=True)
A, left = np.eye(SIZES[-1]), np.eye(SIZES[-1])
for l in reversed(range(1, L)):
    left = left @ W[l]
    A = A + left @ left.T
miss = Y - linear.forward()[-1]
closed = 0.5 * np.einsum("ni,ij,nj->", miss, np.linalg.inv(A), miss)
long, _ = linear.infer(20000, 0.1)
check("linear: energy at rest against Innocenti et al. 2024", abs(linear.energy(long) - closed), 1e-10)
golden["linear"] = {"energy": closed, "states": numbers(*long[1:L]), "loss": 0.5 * (miss**2).sum()}
# Layer-adaptive rates, reconstruction (a): trust ratios.
w, _ = plain.learning(plain.infer(STEPS, ETA)[0])
golden["trust"] = [float(0.001 * np.linalg.norm(W[l]) / (np.linalg.norm(w[l]) + 1e-8)) for l in range(L)]
json.dump(golden, sys.stdout)
