"""The settings of a corpus stand here; what they are set to stands in ``conf/corpus.yaml``."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from mfm.errors import ConfigError
from mfm.protocol import FCD_WINDOW_S
from surrogate.features import MODEL

SOURCES = ("prior", "search", "surrogate")


@dataclass(frozen=True)
class ConnectomesConfig:
    """A connectomes config says which connectomes a corpus is simulated on.

    Parameters
    ----------
    table : str, optional
        A table (tsv) of real connectomes, with the columns ``name``, ``sc`` (file), ``transform`` (log, log1p or none) and
        ``split`` (train, validation or test); optional: ``maps`` (files, separated by commas), ``fc`` and ``fcd_cdf`` (files
        with what searches on this connectome are fitted to; an FCD also serves connectomes that have none). Relative paths
        start at the table's folder; ``n/a`` is nothing.
    n_perturbed : int
        Variants of the table's training connectomes: edges rescaled and removed, regions left out, merged and split.
    n_generated : int
        Random connectomes with modules, hemispheres and weights that fall with distance.
    regions : [low, high]
        Regions of the generated ones, mostly below 100.
    held_out : float
        Share of the generated and perturbed ones that goes to validation, and again to test. A variant of a real one is
        training data only.
    """

    table: str | None = None
    n_perturbed: int = 0
    n_generated: int = 8
    regions: list[int] = field(default_factory=lambda: [40, 250])
    held_out: float = 0.08

    def __post_init__(self):
        if self.n_perturbed < 0 or self.n_generated < 0:
            raise ConfigError("A number of connectomes must not be negative.")
        if self.n_perturbed and self.table is None:
            raise ConfigError("connectomes.n_perturbed needs connectomes to perturb.", fix="connectomes.table=TABLE.tsv")
        if self.table is None and not self.n_generated:
            raise ConfigError("There is no connectome.", fix="connectomes.table=TABLE.tsv, or connectomes.n_generated=100")
        if len(self.regions) != 2 or not 4 <= self.regions[0] <= self.regions[1]:
            raise ConfigError("connectomes.regions is not a range.", expected="[low, high], low >= 4", found=str(self.regions))
        if not 0 <= self.held_out < 0.5:
            raise ConfigError("connectomes.held_out must lie in [0, 0.5).", found=str(self.held_out))


@dataclass(frozen=True)
class CorpusConfig:
    """A corpus config holds everything that decides a corpus.

    Parameters
    ----------
    folder : str
        Where it is written; the same command goes on where an interrupted one stopped.
    connectomes : ConnectomesConfig
    n_shards : int
        Shards, each of one connectome and one timing. May be raised later: shards that are there stay.
    simulations_per_shard : int
        Parameter sets times realisations; a multiple of 64 fills the SIMD lanes of two threads.
    train_repeats, validation_repeats, test_repeats : int
        Realisations of a parameter set, 1 or an even number: many single realisations teach more than few averages, but are
        too noisy to judge by.
    sources : list of {"prior", "search", "surrogate"}
        Where the parameter sets of successive shards come from: drawn over the bounds, or visited by CMA-ES fitting the
        theory's FC; either way they are spread over the stability margin, its far side included. Or those that CMA-ES ends at
        when it fits FC and FCD by a surrogate, whose errors it finds.
    surrogate : str, optional
        That surrogate: a folder, or the name of a shipped one.
    tr_s : list of float
        Repetition times, drawn at random.
    scan_s : [low, usual, high]
        Length of scans in seconds: uniform in its logarithm up to `usual`, for one scan in fifteen up to `high`.
    burn_in_s, warm_up_s, dt_s, scheme
        As in `mfm.Protocol`; dt_s is rounded to the nearest valid step, hemodynamics run at the coarsest one up to 0.03 s.
    seed : int
    n_threads : int, optional
        Default: the cores this process may use. Results do not depend on it.
    model : "fic"
        The model that is simulated: surrogates know the features of no other.

    Raises
    ------
    ConfigError
        For values out of range.

    Examples
    --------
    >>> from surrogate.corpus.config import CorpusConfig
    >>> CorpusConfig(folder="corpus", n_shards=10).rows("test")
    16
    """

    folder: str = "corpus"
    connectomes: ConnectomesConfig = field(default_factory=ConnectomesConfig)
    n_shards: int = 8
    simulations_per_shard: int = 128
    train_repeats: int = 1
    validation_repeats: int = 4
    test_repeats: int = 8
    sources: list[str] = field(default_factory=lambda: ["search", "search", "prior"])
    surrogate: str | None = None
    tr_s: list[float] = field(default_factory=lambda: [0.72, 0.735, 0.8, 1.0, 1.4, 2.0, 2.2, 2.5])
    scan_s: list[float] = field(default_factory=lambda: [300.0, 600.0, 1800.0])
    burn_in_s: float = 48.0
    warm_up_s: float = 6.0
    dt_s: float = 0.006
    scheme: str = "exponential"
    seed: int = 1
    n_threads: int | None = None
    model: str = MODEL

    def __post_init__(self):
        if self.model != MODEL:
            raise ConfigError(
                f"There is no corpus of the model {self.model!r}.",
                expected=MODEL,
                found=self.model,
                cause="surrogates are told features of that model (surrogate/features.py), and of no other",
            )
        for name in ("n_shards", "simulations_per_shard", "train_repeats", "validation_repeats", "test_repeats"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1.", found=str(getattr(self, name)))
        for split in ("train", "validation", "test"):
            repeats = self.repeats(split)
            if (repeats > 1 and repeats % 2) or repeats > self.simulations_per_shard:
                raise ConfigError(
                    f"{split}_repeats does not suit.",
                    expected="1 or an even number, and not more than simulations_per_shard",
                    found=str(repeats),
                )
        if not self.sources or not set(self.sources) <= set(SOURCES):
            raise ConfigError("sources has an unknown value.", expected=" | ".join(SOURCES), found=str(self.sources))
        if ("surrogate" in self.sources) != (self.surrogate is not None):
            raise ConfigError(
                "The source 'surrogate' and the surrogate that it searches by go together.",
                found=f"sources={self.sources}, surrogate={self.surrogate}",
                fix="surrogate=fic sources=[surrogate], or neither",
            )
        if not self.tr_s or not all(0 < tr <= 20 for tr in self.tr_s):
            raise ConfigError("tr_s is not a list of repetition times in seconds.", found=str(self.tr_s))
        shortest = 2 * FCD_WINDOW_S + max(self.tr_s)
        if len(self.scan_s) != 3 or not shortest <= self.scan_s[0] <= self.scan_s[1] <= self.scan_s[2]:
            raise ConfigError(
                "scan_s is not a range of lengths.",
                expected=f"[low, usual, high] in seconds, ascending, low at least {shortest:g} (two windows of FCD)",
                found=str(self.scan_s),
            )

    def repeats(self, split: str) -> int:
        """Return the realisations of each parameter set."""
        return getattr(self, f"{split}_repeats")

    def rows(self, split: str) -> int:
        """Return the parameter sets in a shard."""
        return self.simulations_per_shard // self.repeats(split)

    def deciding(self) -> dict[str, Any]:
        """Return the settings that decide what a shard holds."""
        settings = asdict(self)
        # Files count by their digests; the model stands in the manifest by itself.
        for name in ("folder", "model", "n_shards", "n_threads", "surrogate"):
            del settings[name]
        del settings["connectomes"]["table"]
        return settings
