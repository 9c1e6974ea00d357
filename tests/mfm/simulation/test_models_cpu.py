"""The processor's backends for any model: against loops in numpy, and against each other with the same noise."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import small
import torch
from torch import Tensor

import mfm
from mfm.compute.elementary import exp, log, sqrt, tanh
from mfm.models.model import Derived, Model, Quantity, State
from mfm.models.parameters import ModelParameters, noise, regional, whole_brain
from mfm.models.pmfm import PMFM, PMFMParameters
from mfm.models.registry import register
from mfm.models.rest import settle
from mfm.simulation.cpu import standard_normals

N = 7
SC = small.network(N, scale=0.1)
K, SHIFT = 2.0, 0.5


@dataclass(frozen=True, eq=False, repr=False)
class ToyParameters(ModelParameters):
    """Of a model that uses all that a model may declare."""

    a: Tensor = regional("drive", bounds=(0.0, 1.0))
    b: Tensor = regional("feedback", bounds=(0.0, 1.0))
    sigma: Tensor = noise("noise amplitude", bounds=(0.0, 0.1))
    G: Tensor = whole_brain("coupling of u", bounds=(0.0, 1.0))
    H: Tensor = whole_brain("coupling of w", bounds=(0.0, 1.0))


class OtherToyParameters(ToyParameters):
    """The same model, of which another state is observed."""


def toy_pack(p):
    return (p.a, p.b, p.a * p.b), (p.G, K * p.H)


def toy_drift(x, coupling, constants):
    u, v, w = x
    of_u, of_w = coupling
    a, b, ab = constants
    steep = v * v
    du = -u * K + tanh(a + of_u - b * w)
    dv = (exp(-u) - v * (1.0 + steep)) * 40.0
    dw = log(1.0 + exp(of_w + v)) - 3 * w + ab
    return du, dv, dw, sqrt(steep + SHIFT), u * w, steep


def toy_decay(steep):
    return (1.0 + 3.0 * steep) * 40.0


TOY = register(
    Model(
        name="toy",
        title="three states, two channels",
        source="this test",
        parameters=ToyParameters,
        states=(State("u", "first"), State("v", "second", fast=True, start=0.5), State("w", "third")),
        carried=("u", "w"),
        observed="v",
        hemodynamics=False,
        reported=(Quantity("length", "", "of v"), Quantity("product", "", "of u and w")),
        derived=(Derived(Quantity("share", "", "of u in w"), ("u", "w"), lambda u, w: u / w),),
        pack=toy_pack,
        drift=toy_drift,
        decay=toy_decay,
    )
)
OTHER = register(replace(TOY, name="toy-other", parameters=OtherToyParameters, observed="w"))


def toy(model=TOY, B=3):
    rng = np.random.default_rng(1)
    a, b = rng.uniform(0.2, 0.8, (2, B, N))
    return model.parameters(a, b, np.full((B, N), 0.05), rng.uniform(0.5, 1, B), rng.uniform(0.1, 0.4, B))


def pmfm(B=3, sigma=0.003):
    rng = np.random.default_rng(2)
    w, I_0 = rng.uniform(0.3, 0.8, (B, N)), rng.uniform(0.28, 0.33, (B, N))
    return PMFMParameters(w, I_0, np.full((B, N), sigma), rng.uniform(1, 3, B))


def displaced(model, B, R=1):
    rng = np.random.default_rng(3)
    return tuple(rng.uniform(0.1, 0.4, (B, R, N)) for _ in model.states)


def pmfm_slope(S, p):
    current = 0.2609 * p.w.numpy()[:, None] * S + p.I_0.numpy()[:, None]
    current = current + 0.2609 * p.G.numpy()[:, None, None] * (S @ SC.weights.T)
    x = 270 * current - 108
    rate = x / (1 - np.exp(-0.154 * x))
    return (1 - S) * 0.641 * rate - S / 0.1, rate


def toy_loop(p, protocol, initial, z):
    """BOLD and averages of the toy model in float64, written out anew; `z` holds normals (steps, B, R, N, 3)."""
    a, b, sigma = (x.numpy()[:, None] for x in (p.a, p.b, p.sigma))
    G, H = (x.numpy()[:, None, None] for x in (p.G, p.H))
    u, v, w = initial
    C, dt, frames, kept = SC.weights, protocol.dt_s, [], []
    for step in range(protocol.n_steps):
        du = -2 * u + np.tanh(a + G * (u @ C.T) - b * w)
        dv = 40 * (np.exp(-u) - v - v**3)
        dw = np.log1p(np.exp(2 * H * (w @ C.T) + v)) - 3 * w + a * b
        reported = np.sqrt(v**2 + 0.5), u * w
        step_v = dv * dt + sigma * np.sqrt(dt) * z[step, ..., 1]
        if protocol.scheme == "exponential":
            y = 40 * (1 + 3 * v**2) * dt
            step_v = step_v / (1 + y / 2 + y**2 / 12)
        u = u + du * dt + sigma * np.sqrt(dt) * z[step, ..., 0]
        v = v + step_v
        w = w + dw * dt + sigma * np.sqrt(dt) * z[step, ..., 2]
        elapsed = step + 1 - protocol.warm_up_steps
        if elapsed > 0:
            kept.append((*reported, u, v, w))
        recorded = elapsed - protocol.burn_in_steps
        if recorded > 0 and recorded % protocol.steps_per_tr == 0:
            frames.append({"v": v, "w": w})
    return frames, np.mean(np.array(kept), axis=0)


@pytest.mark.parametrize("scheme", ["euler", "exponential"])
@pytest.mark.parametrize("model", [TOY, OTHER], ids=lambda model: model.observed)
def test_a_model_of_ones_own_is_its_equations(model, scheme):
    protocol = mfm.Protocol(0.06, 5, burn_in_s=0.12, warm_up_s=0.06, scheme=scheme)
    p, B, R = toy(model), 3, 2
    initial = displaced(model, B, R)
    keys, realisations = np.repeat(np.array([4, 5, 6], np.uint64), R), np.tile(np.arange(R, dtype=np.uint32), B)
    z = standard_normals(keys, realisations, 0, protocol.n_steps, N, 3).reshape(-1, B, R, N, 3)
    frames, averages = toy_loop(p, protocol, initial, z)
    expected = np.stack([frame[model.observed] for frame in frames], axis=2)
    for backend, tolerance in (("reference", 1e-12), ("numba", 1e-5)):
        sim = mfm.simulate(p, SC, protocol, R, [4, 5, 6], backend, initial)
        assert np.abs(sim.bold.double().numpy() - expected).max() < tolerance
        assert np.abs(sim.averages.values.numpy() - averages).max() < tolerance
        assert torch.equal(sim.product, sim.averages.values[1])
        assert torch.equal(sim.share, (sim.u / sim.w).mean(dim=1))
        # No range is declared: what is finite counts.
        assert (sim.status == mfm.SimStatus.OK).all()
        assert sim.within_range.all()


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_pmfm_without_noise_follows_its_equations(backend):
    p, protocol = pmfm(sigma=0.0), mfm.Protocol(0.72, 1, burn_in_s=0.0, warm_up_s=0.0)
    S = displaced(PMFM, 3)[0]
    sim = mfm.simulate(p, SC, protocol, backend=backend, initial=(S,))
    paths, rates = [], []
    for _ in range(protocol.n_steps):
        slope, rate = pmfm_slope(S, p)
        S = S + slope * protocol.dt_s
        paths.append(S)
        rates.append(rate)
    assert np.abs(sim.S.numpy() - np.mean(paths, axis=0)).max() < 1e-6
    assert np.abs(sim.rate.numpy() / np.mean(rates, axis=0) - 1).max() < 1e-5


def test_pmfm_rests_where_its_dynamics_settle():
    p = pmfm(sigma=0.0)
    S = np.full((3, 1, N), 0.1)
    for _ in range(20000):
        S = S + 0.006 * pmfm_slope(S, p)[0]
    assert np.abs(pmfm_slope(S, p)[0]).max() < 1e-10
    (found,) = settle(PMFM, p, SC)
    assert np.abs(found.numpy() - S[:, 0]).max() < 1e-10
    protocol = mfm.Protocol(0.72, 3, burn_in_s=0.0, warm_up_s=6.0)
    sim = mfm.simulate(p, SC, protocol, backend="reference")
    assert (sim.S[:, 0] - found).abs().max() < 1e-12


def test_the_resting_state_of_several_states_and_channels():
    found = settle(TOY, toy(), SC)
    constants, gains = TOY.pack(toy())
    C = torch.tensor(SC.weights)
    slopes = TOY.drift(found, (gains[0][:, None] * (found[0] @ C.T), gains[1][:, None] * (found[2] @ C.T)), constants)
    assert max(slope.abs().max() for slope in slopes[:3]) < 1e-12


def test_gradients_of_the_resting_state():
    def rest(w, I_0, G):
        return settle(PMFM, PMFMParameters(w, I_0, torch.zeros_like(w), G), mfm.Connectome([[0.0, 0.2], [0.1, 0.0]]))[0]

    inputs = [torch.tensor(values, dtype=torch.float64) for values in ([[0.5, 0.6]], [[0.3, 0.31]], [2.0])]
    assert torch.autograd.gradcheck(rest, [x.requires_grad_() for x in inputs])


def test_dynamics_that_leave_the_finite_numbers_start_at_the_start_values():
    def wild(x, coupling, constants):
        (S,) = x
        return exp(S * 50.0), S

    model = replace(PMFM, name="wild", drift=wild)
    assert torch.equal(settle(model, pmfm(), SC)[0], torch.full((3, N), 0.1, dtype=torch.float64))


@pytest.mark.parametrize("scheme", ["euler", "exponential"])
def test_pmfm_takes_the_same_path_on_both_backends(scheme):
    protocol = mfm.Protocol(0.72, 10, burn_in_s=3.6, warm_up_s=1.2, scheme=scheme, hemo_dt_s=0.036)
    a, b = (mfm.simulate(pmfm(), SC, protocol, 2, 7, backend) for backend in ("reference", "numba"))
    assert (a.bold - b.bold).std() / a.bold.std() < 1e-4
    assert torch.allclose(a.rate, b.rate, rtol=1e-4)
    assert torch.allclose(a.S, b.S, rtol=1e-5)


def test_noise_has_the_variance_of_linear_theory():
    # One uncoupled region near rest: dS = -k (S - S*) dt + sigma dW has variance sigma^2 / 2 k, and Euler's step gives
    # sigma^2 / (2 k (1 - k dt / 2)). 4096 realisations: relative standard error of a variance sqrt(2 / 4096) = 2.2 %.
    p = PMFMParameters(np.full((1, 2), 0.3), np.full((1, 2), 0.3), np.full((1, 2), 1e-4), [0.0])
    sc = mfm.Connectome([[0.0, 0.1], [0.1, 0.0]])
    (rest,) = settle(PMFM, p, sc)
    (k,) = torch.autograd.functional.jacobian(
        lambda S: PMFM.drift((S,), (torch.zeros(()),), (0.2609 * p.w[0, 0], p.I_0[0, 0]))[0], rest[0, :1]
    ).flatten()
    protocol = mfm.Protocol(0.006, 1, burn_in_s=0, warm_up_s=3.0)
    variance = mfm.simulate(p, sc, protocol, 4096, seed=1).S[0].var(dim=0)
    expected = 1e-8 / (2 * -k * (1 + k * 0.006 / 2))
    assert (variance / expected - 1).abs().max() < 4.5 * np.sqrt(2 / 4096)


def test_normals_are_numbered_through_regions_and_states():
    keys, realisations = np.array([9, 2**40], np.uint64), np.array([0, 3], np.uint32)
    flat = standard_normals(keys, realisations, 5, 4, 12, 1)[..., 0]
    for n_states in (2, 3, 4, 6):
        found = standard_normals(keys, realisations, 5, 4, 12 // n_states, n_states)
        assert np.array_equal(found.reshape(flat.shape), flat)
    # Whatever the number of regions.
    assert np.array_equal(standard_normals(keys, realisations, 5, 4, 3, 3).reshape(4, 2, 9), flat[..., :9])


def test_lanes_of_one_state_are_independent():
    protocol = mfm.Protocol(0.72, 3, burn_in_s=0.72, warm_up_s=0.6)
    p = pmfm(40)
    whole = mfm.simulate(p, SC, protocol, 2, seed=5, n_threads=2)
    alone = mfm.simulate(p[17], SC, protocol, 1, seed=5)
    assert torch.equal(whole.bold[17, 0], alone.bold[0, 0])


def test_gradients_through_a_simulation_of_pmfm():
    sc = mfm.Connectome([[0.0, 0.2], [0.1, 0.0]])
    protocol = mfm.Protocol(0.06, 2, burn_in_s=0.06, warm_up_s=0.03)

    def bold(w, I_0, sigma, G):
        return mfm.simulate(PMFMParameters(w, I_0, sigma, G), sc, protocol, seed=2).bold

    values = ([[0.5, 0.6]], [[0.3, 0.31]], [[0.01, 0.02]], [2.0])
    assert torch.autograd.gradcheck(bold, [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in values])


def test_what_a_simulation_does_not_report():
    sim = mfm.simulate(toy(), SC, mfm.Protocol(0.06, 1, burn_in_s=0, warm_up_s=0), backend="reference")
    with pytest.raises(AttributeError, match=r"'toy' has no 'rate_E'; it reports length, product, u, v, w, share\."):
        _ = sim.rate_E
    assert not hasattr(sim, "ei_ratio")


@pytest.mark.parametrize("backend", ["auto", "reference", "numba"])
def test_what_is_no_model_s_parameters(backend):
    class Unknown(PMFMParameters):
        pass

    p, protocol = pmfm(), mfm.Protocol(0.06, 1, burn_in_s=0, warm_up_s=0)
    for wrong in (Unknown(p.w, p.I_0, p.sigma, p.G), {"w": 0.5}, None):
        with pytest.raises(mfm.errors.InputError, match=r"(?s)not the parameters of a model.*FICParameters"):
            mfm.simulate(wrong, SC, protocol, backend=backend)
    with pytest.raises(mfm.errors.InputError, match=r"(?s)1 entry.*expected: \(S,\)"):
        mfm.simulate(p, SC, protocol, backend=backend, initial=(0.1 * np.ones(N), 0.1 * np.ones(N)))
