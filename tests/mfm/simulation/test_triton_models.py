"""The triton backend with models of every shape, against a plain float64 loop with noise by its numbering."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch

pytest.importorskip("triton", reason="triton is not installed")

import triton
import triton.language as tl

import mfm
from mfm.compute import elementary
from mfm.compute.elementary import exp, log, phi, phi_slope, sqrt, tanh
from mfm.errors import BackendError
from mfm.models.fic import FIC
from mfm.models.hemodynamics import HemodynamicState, bold_signal, hemodynamic_drift
from mfm.models.model import Model, Quantity, State
from mfm.models.parameters import ModelParameters, noise, regional, whole_brain
from mfm.models.pmfm import PMFM, PMFMParameters
from mfm.simulation import gpu
from mfm.simulation.gpu_arrays import shape_of
from mfm.simulation.gpu_model import elementary_of, equations_of
from mfm.simulation.work import Work

# The interpreter divides by zero where the kernel then takes the other branch.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

LEAK, SHARE, SLOWING = 4.0, 0.25, 2


@dataclass(frozen=True, eq=False, repr=False)
class ToyParameters(ModelParameters):
    a: torch.Tensor = regional("drive", bounds=(0.5, 1.0))
    sigma: torch.Tensor = noise("noise amplitude", bounds=(0.0, 0.1))
    G: torch.Tensor = whole_brain("global coupling", bounds=(0.0, 1.0))


def one_channel(p):
    return (p.a,), (p.G,)


def two_channels(p):
    # The second constant is divided by: rows of padding must not make numbers that are not finite.
    return (p.a, 1.0 + p.a), (p.G, -0.5 * p.G)


def relaxed(x, to):
    """A function of the equations, which is rebound with them."""
    return (to - x) * LEAK


def two_ways(x, coupling, constants):
    u, v = x
    from_u, from_v = coupling
    a, scale = constants
    return relaxed(u, a + from_v - SHARE * v), relaxed(v, from_u / scale + sqrt(u * u + 1.0))


def three_states(x, coupling, constants):
    u, v, w = x
    (from_w,) = coupling
    (a,) = constants
    du = relaxed(u, phi(a + from_w, SHARE))
    dv = relaxed(v, tanh(u - v))
    dw = relaxed(w, exp(-u * u)) / SLOWING
    return du, dv, dw, (u, v)


def two_rates(of):
    u, v = of
    return LEAK + phi_slope(u, SHARE), LEAK + SHARE * v * v


def four_states(x, coupling, constants):
    u, v, w, y = x
    (from_y,) = coupling
    (a,) = constants
    size = log(u * u + 1.0)
    return relaxed(u, a + from_y), relaxed(v, u), relaxed(w, tanh(3.0 * v)), relaxed(y, w - size), size, u * y


def five_states(x, coupling, constants):
    (from_a,) = coupling
    (a,) = constants
    r, s, t, u, v = x
    return relaxed(r, a + from_a), relaxed(s, r), relaxed(t, s), relaxed(u, t), relaxed(v, u)


def toy(names, drift, pack=one_channel, **more):
    fast = more.pop("fast", ())
    states = tuple(State(name, "", fast=name in fast) for name in names)
    return Model(f"toy{len(names)}", "a toy", "", ToyParameters, states, pack=pack, drift=drift, **more)


def quantity(name):
    return Quantity(name, "", "")


TOYS = [
    toy("uv", two_ways, two_channels, carried=("u", "v"), observed="v", hemodynamics=False),
    toy("uvw", three_states, carried=("w",), observed="v", fast="uv", decay=two_rates),
    toy("uvwy", four_states, carried=("y",), observed="y", reported=(quantity("size"), quantity("product"))),
    toy("rstuv", five_states, carried=("r",), observed="s"),
]


def parameters(model, B, N):
    rng = np.random.default_rng(1)
    sigma = rng.uniform(0.003, 0.006, (B, N))
    if model is PMFM:
        return PMFMParameters(rng.uniform(0.3, 0.6, (B, N)), rng.uniform(0.28, 0.32, (B, N)), sigma, rng.uniform(1, 2, B))
    if model is FIC:
        w_EE, w_EI = rng.uniform(3.0, 3.6, (B, N)), rng.uniform(2.2, 2.8, (B, N))
        return mfm.FICParameters(w_EE, w_EI, sigma, np.full(B, 2.5))
    return ToyParameters(rng.uniform(0.5, 1.0, (B, N)), 20 * sigma, rng.uniform(0.5, 1.0, B))


def work_of(model, protocol, B=2, N=9, R=2, keys=(7, 2**63 + 5)):
    rng = np.random.default_rng(0)
    weights = rng.random((N, N)) * 0.4 / N
    np.fill_diagonal(weights, 0)
    initial = tuple(torch.tensor(rng.uniform(0.05, 0.3, (B, R, N))) for _ in model.states)
    sc = mfm.Connectome(weights)
    p = parameters(model, B, N)
    p = p if model.complete is None else model.complete(p, sc)
    return Work(model, p, sc, protocol, initial, np.array(keys, dtype=np.uint64), R)


def words(counter, key):
    """Philox4x32-10 in whole numbers."""
    c, k = list(counter), [key & 0xFFFFFFFF, key >> 32]
    for _ in range(10):
        a, b = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [(b >> 32) ^ c[1] ^ k[0], b & 0xFFFFFFFF, (a >> 32) ^ c[3] ^ k[1], a & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def normal(number, step, realisation, key):
    """Normal `number` of a step: four to a counter, two to a pair of words (Box and Muller)."""
    w = words((step, number // 4, realisation, 0), key)[number % 4 // 2 * 2 :]
    angle = math.pi * (w[1] - (w[1] >> 31 << 32)) * 2.0**-31
    radius = math.sqrt(-2 * math.log((w[0] >> 8) * 2.0**-24 + 2.0**-25))
    return radius * (math.sin(angle) if number % 2 else math.cos(angle))


def normals(work, step):
    """(B, R, N, states)."""
    n_states, N = len(work.model.states), work.p.n_regions
    rows = [[[normal(i, step, r, int(key)) for i in range(N * n_states)] for r in range(work.n_repeats)] for key in work.keys]
    return torch.tensor(rows, dtype=torch.float64).reshape(len(work.keys), work.n_repeats, N, n_states)


def by_hand(work):
    """BOLD (B, R, T, N) and averages (K, B, R, N), a step after the other in float64."""
    model, protocol, x = work.model, work.protocol, list(work.initial)
    constants, gains = model.pack(work.p)
    constants = tuple(row[:, None] for row in constants)
    amplitude = math.sqrt(protocol.dt_s) * work.p.sigma[:, None]
    C, dt, M = torch.tensor(work.sc.weights), protocol.dt_s, len(x)
    fast = [k for k, state in enumerate(model.states) if state.fast and protocol.scheme == "exponential"]
    carried = [model.state_names.index(name) for name in model.carried]
    observed = model.state_names.index(model.observed)
    h, drive, sums, frames = HemodynamicState.at_rest(x[0]), torch.zeros_like(x[0]), 0.0, []
    for step in range(protocol.n_steps):
        coupling = tuple(gain[:, None, None] * (x[k] @ C.T) for gain, k in zip(gains, carried, strict=True))
        found, z = model.drift(tuple(x), coupling, constants), normals(work, step)
        moves = [found[k] * dt + amplitude * z[..., k] for k in range(M)]
        if fast:
            rates = model.decay(found[-1])
            for k, rate in zip(fast, rates if isinstance(rates, tuple) else (rates,), strict=True):
                moves[k] = moves[k] / (1 + rate * dt * (0.5 + rate * dt / 12))
        x = [a + b for a, b in zip(x, moves, strict=True)]
        if step < protocol.warm_up_steps:
            continue
        sums = sums + torch.stack([*found[M : M + len(model.reported)], *x])
        drive = drive + x[observed] / protocol.steps_per_hemodynamic_step
        if (step + 1 - protocol.warm_up_steps) % protocol.steps_per_hemodynamic_step == 0:
            slopes = hemodynamic_drift(h, drive)
            h = HemodynamicState(*(a + protocol.hemodynamic_dt_s * b for a, b in zip(h, slopes, strict=True)))
            drive = torch.zeros_like(drive)
        recorded = step + 1 - protocol.warm_up_steps - protocol.burn_in_steps
        if recorded > 0 and recorded % protocol.steps_per_tr == 0:
            frames.append(bold_signal(h) if model.hemodynamics else x[observed])
    return torch.stack(frames, dim=2), sums / (protocol.n_steps - protocol.warm_up_steps)


def assert_same_path(work, tile=None):
    (bold, averages), (expected, means) = gpu.simulate_on_gpu([work], tile)[0], by_hand(work)
    assert averages.shape == (len(work.model.average_names), *bold.shape[:2], bold.shape[3])
    assert (bold.cpu() - expected).abs().max() < 3e-6
    assert torch.allclose(averages.cpu(), means, rtol=5e-6, atol=1e-7)


@pytest.mark.parametrize("model", [PMFM, FIC, *TOYS], ids=lambda model: model.name)
@pytest.mark.parametrize("scheme", ["euler", "exponential"])
def test_every_model_follows_its_equations(model, scheme):
    if scheme == "exponential" and model.decay is None:
        protocol = mfm.Protocol(0.036, 2, dt_s=0.006, burn_in_s=0.012, warm_up_s=0.012, hemo_dt_s=0.012)
    else:
        protocol = mfm.Protocol(0.036, 2, dt_s=0.006, burn_in_s=0.018, warm_up_s=0.012, scheme=scheme)
    assert_same_path(work_of(model, protocol))


def test_a_scheme_for_fast_states_is_eulers_without_any():
    timing = {"burn_in_s": 0.0, "warm_up_s": 0.0}
    a, b = (
        gpu.simulate_on_gpu([work_of(PMFM, mfm.Protocol(0.012, 1, scheme=scheme, **timing))])[0]
        for scheme in ("euler", "exponential")
    )
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize(("model", "N"), [(PMFM, 2), (PMFM, 35), (TOYS[0], 34), (TOYS[1], 5)])
def test_any_number_of_regions(model, N):
    assert_same_path(work_of(model, mfm.Protocol(0.012, 1, burn_in_s=0.0, warm_up_s=0.006), B=1, N=N, R=1, keys=(3,)))


def test_streamed_connectomes_carry_every_channel(monkeypatch):
    monkeypatch.setattr(gpu, "_RESIDENT_REGIONS", 2)
    assert_same_path(work_of(TOYS[0], mfm.Protocol(0.018, 2, burn_in_s=0.0, warm_up_s=0.006), N=37), gpu.Tile(4, 4))


def test_models_in_one_call_are_each_simulated_with_its_own():
    protocol = mfm.Protocol(0.012, 1, burn_in_s=0.0, warm_up_s=0.0)
    works = [work_of(model, protocol) for model in (PMFM, FIC, TOYS[0], PMFM)]
    for work, found in zip(works, gpu.simulate_on_gpu(works), strict=True):
        alone = gpu.simulate_on_gpu([work])[0]
        assert all(torch.equal(a, b) for a, b in zip(found, alone, strict=True))


@triton.jit
def apply(x, y, FUNCTION: tl.constexpr):
    at = tl.arange(0, 1024)
    tl.store(y + at, FUNCTION(tl.load(x + at)))


@triton.jit
def apply_with_curvature(x, y, FUNCTION: tl.constexpr, D: tl.constexpr):
    at = tl.arange(0, 1024)
    tl.store(y + at, FUNCTION(tl.load(x + at), D))


@pytest.mark.parametrize(
    ("function", "low", "high", "rtol", "atol"),
    [
        (exp, -20.0, 20.0, 5e-6, 0.0),
        (log, 1e-3, 50.0, 2e-7, 2e-7),
        (sqrt, 0.0, 50.0, 5e-7, 0.0),
        (tanh, -12.0, 12.0, 1e-6, 0.0),
        (phi, -120.0, 120.0, 2e-6, 1e-8),
        (phi_slope, -300.0, 300.0, 1e-5, 1e-8),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_elementary_functions_are_those_of_torch(function, low, high, rtol, atol):
    x = torch.linspace(low, high, 1024, device=gpu.gpu_device(torch.device("cpu")))
    x[:3] = torch.tensor([max(low, 1e-7), max(low, 0.2), max(low, -0.2)])
    for d in (0.16, 0.087) if function in (phi, phi_slope) else (None,):
        y, more = torch.empty_like(x), () if d is None else (d,)
        kernel = apply if d is None else apply_with_curvature
        kernel[(1,)](x, y, elementary_of(function), *more)
        assert torch.allclose(y.cpu().double(), function(x.cpu().double(), *more), rtol=rtol, atol=atol)


def test_every_elementary_function_has_a_counterpart():
    public = [f for f in vars(elementary).values() if getattr(f, "__module__", "") == elementary.__name__]
    assert exp in public
    assert all(elementary_of(function) for function in public)


def unknown(x, coupling, constants):
    (u,) = x
    return (np.sin(u),)


def test_what_triton_does_not_know_is_named():
    model = toy("u", unknown, carried=("u",), observed="u")
    shape = shape_of(model, parameters(model, 1, 2))
    with pytest.raises(BackendError, match=r"(?s)model 'toy1' use 'np', which the GPU does not know.*exp.*found: module"):
        equations_of(model, shape)
