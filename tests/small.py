"""Small connectomes and parameter sets of the FIC model. A test says what is special about its own."""

import numpy as np

import mfm


def network(n, seed=0, scale=0.02, power=1, symmetric=False):
    """Every region is connected to every other, by weights below `scale`; a higher power makes most of them weak."""
    weights = np.random.default_rng(seed).random((n, n)) ** power * scale
    np.fill_diagonal(weights, 0)
    return mfm.Connectome((weights + weights.T) / 2 if symmetric else weights)


def candidates(n, B=1, seed=1, w_EE=(3.0, 3.6), w_EI=(2.2, 2.8), sigma=0.004, G=2.5, I_ext=None):
    """B candidates over n regions. A pair is a range to draw from, in the order of the arguments; a number holds everywhere."""
    rng = np.random.default_rng(seed)

    def values(given, *shape):
        return rng.uniform(*given, shape) if isinstance(given, tuple) else np.full(shape, given)

    drawn = {"w_EE": values(w_EE, B, n), "w_EI": values(w_EI, B, n), "sigma": values(sigma, B, n), "G": values(G, B)}
    return mfm.FICParameters(**drawn, I_ext=None if I_ext is None else values(I_ext, B, n))


def alike(n, w_EE, w_EI=2.5, sigma=0.002, G=2.0):
    """Candidates whose regions are all alike, one for each value of w_EE."""
    w_EE = np.atleast_1d(np.asarray(w_EE, dtype=float))
    shape = len(w_EE), n
    return mfm.FICParameters(np.outer(w_EE, np.ones(n)), np.full(shape, w_EI), np.full(shape, sigma), np.full(len(w_EE), G))
