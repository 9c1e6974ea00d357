"""A trained surrogate is two files on disk, ``model.safetensors`` and ``card.json``; here it is loaded, and predicts."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import mfm
from mfm import FICParameters, Protocol
from mfm.compute.machine import available_cores
from mfm.errors import ConfigError, InputError, InputNote, MissingInputError
from mfm.io import write_atomic, write_json
from mfm.models.constants import RATE_RANGE_HZ
from mfm.models.registry import model_of
from mfm.protocol import FCD_WINDOW_S
from surrogate.calibration import Calibration
from surrogate.corpus.store import file_digest, grid_digest
from surrogate.fcd_grid import from_grid
from surrogate.features import GLOBAL_FEATURES, MODEL, RECIPE, features
from surrogate.networks import NetworkConfig, PooledNetwork, TokenNetwork, build_network

SCHEMA = "mfmfit-surrogate/1"
WEIGHTS, CARD = "model.safetensors", "card.json"

#: Surrogates that ship with the package.
PRETRAINED = ("fic",)

# Candidates that are predicted at a time: their FC stays near the processor.
_TOGETHER = 50


@dataclass(frozen=True, eq=False)
class Prediction:
    """A prediction is what a surrogate says of B candidates over N regions.

    Attributes
    ----------
    fc : tensor, (B, N, N)
        Mean simulated FC.
    fcd_cdf : tensor, (B, K)
        Mean simulated FCD distribution.
    rate_E : tensor, (B, N)
        Mean r_E in Hz where the candidate stays in range.
    p_within_range : tensor, (B,)
        Probability that every r_E stays within the band in one simulation; 0 where the 3 Hz state is not stable.
    stable : tensor of bool, (B,)
        Whether it is; FC, FCD and r_E are NaN where it is not.
    fc_sampling_variance : tensor, (B,)
        `LinearResponse.fc_sampling_variance`: how FC varies from scan to scan.
    place : tensor, (B, H)
        Summary features in standard deviations of the training data: where candidates lie, for corrections by own simulations.

    Examples
    --------
    See `Surrogate.predict`.
    """

    fc: Tensor
    fcd_cdf: Tensor
    rate_E: Tensor
    p_within_range: Tensor
    stable: Tensor
    fc_sampling_variance: Tensor
    place: Tensor


@dataclass(frozen=True, eq=False)
class Surrogate:
    """A surrogate is a trained network with its card.

    Parameters
    ----------
    network : TokenNetwork or PooledNetwork
    config : NetworkConfig
    calibration : Calibration
        Of the within-range head.
    envelope : mapping of a quantity to (low, high)
        What training covered; beyond it predictions are untested.
    scheme : str
        Integration scheme of the simulations that were learned from.
    card : mapping
        What else its maker says: corpus, held-out figures, licence.
    model : str
        The model whose simulations were learned from.
    """

    network: TokenNetwork | PooledNetwork
    config: NetworkConfig
    calibration: Calibration
    envelope: dict[str, tuple[float, float]]
    scheme: str
    card: dict[str, Any] = field(default_factory=dict)
    model: str = MODEL

    def predict(
        self,
        p: FICParameters,
        sc: mfm.Connectome,
        protocol: Protocol,
        band_hz: tuple[float, float] = RATE_RANGE_HZ,
        n_bins: int = 10000,
    ) -> Prediction:
        """Predict what simulations of candidates under `protocol` would show.

        Parameters
        ----------
        p : FICParameters
            B candidates over N regions.
        sc : Connectome
        protocol : Protocol
        band_hz : (low, high), default (2.7, 3.3)
            For ``p_within_range``.
        n_bins : int, default 10000
            Of the FCD distribution.

        Raises
        ------
        InputError
            If the candidates are of another model, regions do not fit, the band does not hold 3 Hz, or the protocol's scheme
            is not the one that was learned from.

        Warns
        -----
        InputNote
            Where something is outside of what training covered; names it.

        Examples
        --------
        >>> import mfm, numpy as np
        >>> from surrogate import untrained
        >>> sc = mfm.Connectome(0.02 * (1 - np.eye(3)))
        >>> p = mfm.FICParameters(np.full((2, 3), 3.0), np.full((2, 3), 2.5), np.full((2, 3), 0.005), [0.5, 1.0])
        >>> found = untrained().predict(p, sc, mfm.Protocol(0.72, 600, scheme="exponential"))
        >>> found.fc.shape, found.fcd_cdf.shape
        (torch.Size([2, 3, 3]), torch.Size([2, 10000]))
        """
        found = self.predict_unchecked(p, sc, protocol, band_hz, n_bins)
        outside = self.outside(p, sc, protocol)
        if found.stable.any():
            mean_fc = mfm.upper_triangle(found.fc[found.stable]).mean(dim=1)
            outside += self._beyond({"mean_fc": (float(mean_fc.min()), float(mean_fc.max()))})
        if outside:
            warnings.warn(InputNote("The surrogate was not trained for this: " + "; ".join(outside)), stacklevel=2)
        return found

    def predict_unchecked(self, p, sc, protocol, band_hz=RATE_RANGE_HZ, n_bins=10000) -> Prediction:
        """Predict as `predict` does, without a look at the envelope: for searches, which look at it once."""
        low, high = band_hz
        if not 0 <= low < 3 < high:
            raise InputError("The band of firing rates does not hold 3 Hz.", found=f"{band_hz}")
        self.check_model(model_of(p).name)
        self.check_protocol(protocol)
        B, N = p.w_EE.shape
        nan = float("nan")
        fc, cdf = torch.full((B, N, N), nan), torch.full((B, n_bins), nan)
        rate, probability = torch.full((B, N), nan), torch.zeros(B)
        stable, variance = torch.zeros(B, dtype=torch.bool), torch.full((B,), nan)
        place = torch.full((B, len(GLOBAL_FEATURES)), nan)
        self.network.eval()

        def fill(index: Tensor) -> None:
            with torch.inference_mode():
                lin = mfm.linear_response(p[index], sc, protocol)
                stable[index] = lin.stable
                keep = index[lin.stable]
                if not len(keep):
                    return
                lin = lin[torch.nonzero(lin.stable)[:, 0]]
                variance[keep] = lin.fc_sampling_variance.float()
                found = features(p[keep], sc, lin)
                bands = torch.tensor(band_hz, dtype=torch.float32).expand(1, len(keep), 2)
                output = self.network(found, bands)
                place[keep] = self.network.summary(found.summary)
                fc[keep], rate[keep] = output.fc, output.rate_E
                cdf[keep] = from_grid(output.fcd_cdf, n_bins)
                probability[keep] = self.calibration.probability(output.logit[0])

        # Always the same parts, so that results do not depend on the number of threads.
        with ThreadPoolExecutor(available_cores()) as pool:
            list(pool.map(fill, torch.arange(B).split(_TOGETHER)))
        return Prediction(fc, cdf, rate, probability, stable, variance, place)

    def check_model(self, name: str) -> None:
        """Raise an InputError unless the surrogate was trained on simulations of the model called `name`."""
        if name != self.model:
            raise InputError(
                f"The surrogate was not trained for the model {name!r}.",
                expected=f"the model {self.model!r}, as its card says",
                found=repr(name),
                fix="simulate the model, or predict it by linear response",
            )

    def check_protocol(self, protocol: Protocol) -> None:
        """Raise an InputError if simulations under `protocol` are not those that were learned from."""
        if protocol.scheme != self.scheme:
            raise InputError(
                "The surrogate was trained on simulations of another integration scheme.",
                expected=f'Protocol(scheme="{self.scheme}")',
                found=repr(protocol.scheme),
                cause="Euler steps of 6 ms shift firing rates: their simulations are another model's",
            )

    @property
    def digest(self) -> str:
        """Digest (sha256) weights, calibration and recipe: the surrogate's identity."""
        digest = hashlib.sha256(self._weights())
        digest.update(json.dumps([RECIPE, asdict(self.config), self.calibration]).encode())
        return digest.hexdigest()

    def _weights(self) -> bytes:
        from safetensors.torch import save

        return save({name: value.detach().cpu().contiguous() for name, value in self.network.state_dict().items()})

    def outside(self, p: FICParameters | None, sc: mfm.Connectome, protocol: Protocol) -> list[str]:
        """Say what of candidates (None: left out), connectome and timing lies outside of the training envelope, one by one."""
        return self._beyond(envelope_quantities(p, sc, protocol))

    def _beyond(self, values: dict[str, tuple[float, float]]) -> list[str]:
        found: list[str] = []
        for name, (low, high) in values.items():
            if name not in self.envelope:
                continue
            least, most = self.envelope[name]
            slack = 1e-6 * max(abs(least), abs(most))
            if low < least - slack or high > most + slack:
                said = f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
                found.append(f"{name} is {said}, training covered {least:.4g} to {most:.4g}")
        return found

    def save(self, folder: str | Path, **more: Any) -> Path:
        """Write the bundle into `folder`; `more` joins the card."""
        folder, weights = Path(folder), self._weights()
        write_atomic(folder / WEIGHTS, lambda path: path.write_bytes(weights))
        card = {
            "schema": SCHEMA,
            "model": self.model,
            "mfmfit": mfm.__version__,
            "features": RECIPE,
            "fcd_grid_sha256": grid_digest(),
            "fcd_window_s": FCD_WINDOW_S,
            "scheme": self.scheme,
            "network": asdict(self.config),
            "calibration": self.calibration._asdict(),
            "envelope": {name: list(ends) for name, ends in self.envelope.items()},
            **{**self.card, **more},
            "sha256": hashlib.sha256(weights).hexdigest(),
            "licence": "MIT",
        }
        return write_json(folder / CARD, card)


def envelope_quantities(p: FICParameters | None, sc: mfm.Connectome, protocol: Protocol) -> dict[str, tuple[float, float]]:
    """Measure the quantities of an envelope, each by its smallest and largest value."""
    strength = sc.weights.sum(axis=1).mean()
    values = {
        "n_regions": (sc.n_regions, sc.n_regions),
        "tr_s": (protocol.tr_s, protocol.tr_s),
        "scan_s": (protocol.scan_s, protocol.scan_s),
        "largest_weight": (sc.weights.max(), sc.weights.max()),
        "mean_strength": (strength, strength),
    }
    if p is not None:
        values |= {name: (x.min(), x.max()) for name in ("w_EE", "w_EI", "sigma", "G") for x in [getattr(p, name)]}
    return {name: (float(low), float(high)) for name, (low, high) in values.items()}


def untrained(config: NetworkConfig | None = None) -> Surrogate:
    """Make a surrogate before training: its FC is that of linear response, its other predictions say nothing.

    Examples
    --------
    >>> from surrogate import untrained
    >>> untrained().scheme
    'exponential'
    """
    config = config or NetworkConfig()
    return Surrogate(build_network(config).eval(), config, Calibration(), {}, "exponential")


def load_pretrained(name: str | Path = "fic") -> Surrogate:
    """Load a trained surrogate.

    Parameters
    ----------
    name : str or path, default "fic"
        One that ships (`PRETRAINED`), or a folder with ``model.safetensors`` and ``card.json`` (``mfmfit train``).

    Raises
    ------
    MissingInputError
        If there is no such surrogate.
    InputError
        If the weights are not those of the card, or the card is of another schema, model or recipe.

    Examples
    --------
    >>> import surrogate, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     card = surrogate.untrained().save(folder)
    ...     surrogate.load_pretrained(folder).scheme
    'exponential'
    """
    folder = Path(__file__).parent / "pretrained" / str(name) if str(name) in PRETRAINED else Path(os.path.expanduser(name))
    for file in (CARD, WEIGHTS):
        if not (folder / file).is_file():
            raise MissingInputError(
                f"There is no surrogate {name}.",
                expected=f"{' | '.join(PRETRAINED)}, or a folder with {CARD} and {WEIGHTS}",
                found=f"no {folder / file}",
                fix="mfmfit train makes one",
            )
    card = _read_card(folder / CARD)
    path = folder / WEIGHTS
    if (found := file_digest(path)) != card["sha256"]:
        raise InputError(
            f"{path} does not belong to {folder / CARD}.",
            expected=f"sha256 {card['sha256']}",
            found=found,
            cause="a copy that broke off, or weights of another training",
            fix="copy both files again",
        )
    return _build(card, path)


def _build(card: dict[str, Any], path: Path) -> Surrogate:
    from safetensors.torch import load_file

    try:
        config = NetworkConfig(**card["network"])
        network = build_network(config)
        network.load_state_dict(load_file(path))
    except (RuntimeError, TypeError, ConfigError) as error:
        raise InputError(f"{path} does not fit the network that its card describes.", found=str(error)[:300]) from error
    envelope = {name: (float(low), float(high)) for name, (low, high) in card["envelope"].items()}
    own = ("schema", "model", "mfmfit", "features", "fcd_grid_sha256", "fcd_window_s", "scheme", "network", "calibration")
    rest = {key: value for key, value in card.items() if key not in (*own, "envelope", "sha256", "licence")}
    return Surrogate(network.eval(), config, Calibration(**card["calibration"]), envelope, card["scheme"], rest, card["model"])


def _read_card(path: Path) -> dict[str, Any]:
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not a card.", expected="JSON", found=str(error)) from error
    expected = {
        "schema": SCHEMA,
        "model": MODEL,
        "features": RECIPE,
        "fcd_grid_sha256": grid_digest(),
        "fcd_window_s": FCD_WINDOW_S,
    }
    for key, value in expected.items():
        if not isinstance(card, dict) or card.get(key) != value:
            raise InputError(
                f"{path}: {key} is not what this version of mfmfit works with.",
                expected=str(value)[:200],
                found=str(card.get(key) if isinstance(card, dict) else type(card).__name__)[:200],
                cause="a surrogate of another version, or of another model",
                fix="train it anew (mfmfit train), or use the version that made it",
            )
    lacking = sorted({"scheme", "network", "calibration", "envelope", "sha256"} - set(card))
    if lacking:
        raise InputError(f"{path} lacks {', '.join(lacking)}.", cause="a card that was edited")
    return card
