"""A task is one refinement: the fit, the residual that is asked for, the scans to learn from and the one to be judged on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mfm import Connectome, Protocol, RegionalMaps, Scan, fisher_mean, functional_connectivity, upper_triangle
from mfm.errors import InputError
from mfm.linear.fisher_z import FisherZLikelihood
from mfm.linear.system import LinearSystem
from mfm.linear.whittle import Tangents, WhittleLikelihood, periodogram, pooled
from mfm.ude import LinearResidual
from mfm.ude.fixed_point.linear_residual import named_maps, total_leak
from optim.config.refine import RefineConfig
from optim.refine.problem import Likelihood, RefinementProblem, fit_nuisance
from optim.refine.tunable_fit import TunableFit


@dataclass(frozen=True, eq=False)
class Recording:
    """A recording is what is known of one scan, or of several of the same length and TR.

    Attributes
    ----------
    fc : tensor, (N, N)
        Mean in Fisher z over the scans.
    protocol : Protocol
        TR and frames of each.
    bold : tensor, (R, T, N), optional
        Their series.
    n_scans : int
        R.
    """

    fc: Tensor
    protocol: Protocol
    bold: Tensor | None = None
    n_scans: int = 1

    @classmethod
    def of(cls, *scans: Scan) -> Recording:
        """Take what is known of the scans of a fit's stages."""
        first = scans[0]
        known = [scan.bold for scan in scans if scan.bold is not None]
        bold = torch.stack(known) if len(known) == len(scans) else None
        fc = first.target.fc if len(scans) == 1 else fisher_mean(torch.stack([scan.target.fc for scan in scans]))
        return cls(fc, Protocol(first.tr_s, first.n_frames, dt_s=first.tr_s), bold, len(scans))

    @classmethod
    def of_series(cls, bold: Tensor, tr_s: float) -> Recording:
        """Take what is known of simulated or sampled series (T, N) or (R, T, N)."""
        bold = bold.reshape(-1, *bold.shape[-2:])
        fc = functional_connectivity(bold)
        fc = fc[0] if len(bold) == 1 else fisher_mean(fc)
        return cls(fc, Protocol(tr_s, bold.shape[1], dt_s=tr_s), bold, len(bold))


@dataclass(frozen=True, eq=False)
class Task:
    """A task is a refinement of one person's fit.

    Attributes
    ----------
    fitted : TunableFit
        The fit.
    sc : Connectome
    maps : RegionalMaps
        Of the terms.
    train, held_out : Recording
    config : RefineConfig
    """

    fitted: TunableFit
    sc: Connectome
    maps: RegionalMaps
    train: Recording
    held_out: Recording
    config: RefineConfig

    def __post_init__(self):
        if self.config.loss == "whittle" and (self.train.bold is None or self.held_out.bold is None):
            raise InputError(
                "Whittle's likelihood needs time series.",
                found="FC only",
                fix="loss=fc, or fit from data.timeseries",
            )

    @property
    def loss(self) -> str:
        """Name the loss that is used: ``whittle`` or ``fc``."""
        known = self.train.bold is not None and self.held_out.bold is not None
        return self.config.loss if self.config.loss != "auto" else "whittle" if known else "fc"

    def residual(self, maps: RegionalMaps | None = None) -> LinearResidual:
        """Make the residual on the task's maps, or on others of the same names."""
        c = self.config
        return LinearResidual.of(self.maps if maps is None else maps, self.sc, c.terms, c.edges, c.bound, c.network)

    def network_maps(self) -> RegionalMaps | None:
        """Return the inputs of the network of maps, z-scored; None where none is asked for."""
        return named_maps(self.maps.zscored(), self.config.network) if self.config.network else None

    def prior_std(self, residual: LinearResidual) -> Tensor:
        """Return prior standard deviations of the coefficients: slopes per second, edges relative to the connectome."""
        slopes = self.config.prior * total_leak() * residual.scales
        return torch.cat([slopes, slopes.new_full((len(residual.edges),), self.config.edge_prior)])

    def likelihood(self, recording: Recording, bins: int | None) -> Likelihood:
        """Make the likelihood by which a recording scores models."""
        if self.loss == "fc":
            return FisherZLikelihood(recording.fc, recording.protocol, recording.n_scans)
        assert recording.bold is not None
        band = self.config.band[0], self.config.band[1]
        found = [periodogram(scan, recording.protocol.tr_s, band, bins) for scan in recording.bold]
        data = pooled(found, regional=self.config.amplitude == "regional")
        return WhittleLikelihood(data, self.config.amplitude, self.config.noise)

    def problem(
        self, fitted: TunableFit, residual: LinearResidual | None, recording: Recording | None = None
    ) -> RefinementProblem:
        """Make the problem of learning from the training scans, or from another recording."""
        prior = torch.zeros(0, dtype=torch.float64) if residual is None else self.prior_std(residual)
        return RefinementProblem(fitted, residual, self.sc, self.likelihood(recording or self.train, self.config.bins), prior)

    def held_out_terms(self, system: LinearSystem, likelihood: Likelihood, averaged: Likelihood) -> Tensor:
        """Score the held-out scan, nuisance fitted: negative log-likelihood by frequency, or one number, the misfit of FC.

        Scale and noise are the scan's, not the model's: they are fitted anew for every model alike, to the `averaged` scan.
        """
        nuisance = fit_nuisance(averaged, system)
        if isinstance(likelihood, WhittleLikelihood):
            return likelihood.by_frequency(system, nuisance)
        return torch.tensor([likelihood(system, Tangents.zero(0, system), nuisance).value], dtype=torch.float64)

    def fc_correlation(self, system: LinearSystem) -> float:
        """Correlate a model's FC with that of the held-out scan."""
        z = FisherZLikelihood(self.held_out.fc, self.held_out.protocol).predicted(system)
        return float(torch.corrcoef(torch.stack([torch.tanh(z), upper_triangle(self.held_out.fc)]))[0, 1])
