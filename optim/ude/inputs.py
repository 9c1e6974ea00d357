"""Files and settings become a series, a hybrid and the stages of its training."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

import mfm
from mfm.errors import ConfigError, InputError
from mfm.io import load_connectome, load_maps
from mfm.io.formats.tables import read_table
from mfm.ude import (
    Adam,
    FICMechanism,
    GainSchedule,
    Hybrid,
    Innovation,
    LatentSDE,
    Library,
    Mechanism,
    MemristiveCircuit,
    MultipleShooting,
    NoMechanism,
    Nudging,
    PathLikelihood,
    PredictionError,
    Residual,
    ResidualBasis,
    ResidualEdge,
    ResidualMLP,
    Roessler,
    SparseRule,
    Stage,
    Trajectories,
    curriculum,
)
from optim.config.ude import LossConfig, MechanismConfig, ResidualConfig, SeriesConfig, TrainingConfig, UDEConfig
from optim.fit.record import fit_record, read_parameters

_TIME = "time"


@dataclass(frozen=True, eq=False)
class UDEInputs:
    """The inputs of a fit are the whole series, the hybrid, and the stages."""

    series: Trajectories
    model: Hybrid
    stages: tuple[Stage, ...]


def read_ude_inputs(config: UDEConfig) -> UDEInputs:
    """Read and check everything that `config` names."""
    mechanism, regions = _mechanism(config.model)
    series = read_series(config.data, mechanism, regions)
    maps = load_maps(config.model.maps, regions=regions) if config.model.maps else None
    chosen = [config.residual] if config.second is None else [config.residual, config.second]
    train = series.window(0, round(config.split.train * series.n_samples))
    residuals = [_residual(one, config.training, train, maps) for one in chosen]
    m = config.model
    model = Hybrid(mechanism, residuals, m.mode, scheme=m.scheme, substeps=m.substeps, in_solver=m.in_solver)
    if asks_for_formula(config):
        formula_library(config, residuals[0].variables)
    return UDEInputs(series, model, _stages(config.loss, config.training))


def asks_for_formula(config: UDEConfig) -> bool:
    """Tell whether a formula is to be drawn from a network."""
    return config.extraction.method != "none" and config.residual.kind == "mlp" and config.second is None


def formula_library(config: UDEConfig, variables: Sequence[str]) -> Library:
    """Make the library of the formula's candidate terms."""
    choice = config.extraction
    library = Library.polynomial(variables, choice.degree) if choice.terms is None else Library.of(variables, choice.terms)
    if len(library) >= SparseRule().blocks:
        raise InputError(
            "The library has more terms than the data can carry.",
            expected=f"fewer than {SparseRule().blocks} terms",
            found=f"{len(library)}: all monomials of {len(variables)} variables up to degree {choice.degree}",
            fix="a lower extraction.degree, or extraction.terms=[...]",
        )
    return library


def files_of(config: UDEConfig) -> list[str]:
    """List the files that decide the fit."""
    data, model = config.data, config.model
    channels = (data.channels or {}).values()
    named = [*data.files, *(file for files in channels for file in files), *(model.maps or {}).values()]
    return [str(file) for file in [*named, model.parameters, model.sc] if file is not None]


def read_series(data: SeriesConfig, mechanism: Mechanism, regions: Sequence[str] | None = None) -> Trajectories:
    """Read the trajectories that `data` names, as one series; shorter ones end in missing samples."""
    if bool(data.files) == bool(data.channels):
        raise ConfigError(
            "The time series are given as files or as channels.",
            expected="data.files=[run-1.tsv,...] or 'data.channels={STATE: [run-1.tsv,...]}'",
            found="both" if data.files else "neither",
        )
    unit = data.time_unit or mechanism.time_unit
    if data.files:
        tables = [_trajectory(file, data.dt) for file in data.files]
        names, dt = tables[0][0], tables[0][2]
        if any(t[0] != names or not _same(t[2], dt) for t in tables):
            raise InputError("The trajectories have different columns or sampling intervals.", found=", ".join(data.files))
        arrays = [t[1][:, None, :] for t in tables]
    else:
        channels = data.channels or {}
        names, dt = tuple(channels), data.dt
        arrays = _channels(channels, regions)
    if dt is None:
        raise ConfigError("The sampling interval is not known.", fix="data.dt=..., or a column called time")
    longest = max(len(a) for a in arrays)
    padded = [np.pad(a, ((0, longest - len(a)), (0, 0), (0, 0)), constant_values=np.nan) for a in arrays]
    noise = None if data.noise_std is None else torch.tensor(data.noise_std, dtype=torch.float64)
    return Trajectories(torch.from_numpy(np.stack(padded)), dt, names, unit, noise)  # type: ignore[arg-type]


def _same(a: float | None, b: float | None) -> bool:
    return a == b or (a is not None and b is not None and abs(a - b) < 1e-6 * b)


def _trajectory(file: str, dt: float | None) -> tuple[tuple[str, ...], np.ndarray, float | None]:
    """Names, values (T, C) and interval of a table with a column per state."""
    table = read_table(file, "time series")
    if table.column_names is None:
        raise InputError(f"{file} does not name its columns.", expected="a header with the names of the observed states")
    keep = [k for k, name in enumerate(table.column_names) if name.lower() != _TIME]
    names = tuple(table.column_names[k] for k in keep)
    values = table.values[:, keep]
    if len(keep) == len(table.column_names):
        return names, values, dt
    times = table.values[:, [name.lower() for name in table.column_names].index(_TIME)]
    gridded = Trajectories.from_times(times, values, names, dt=dt, noise_std=[1.0] * len(names))
    return names, gridded.values[0, 0, :, 0].numpy(), gridded.dt


def _channels(channels: dict[str, list[str]], regions: Sequence[str] | None) -> list[np.ndarray]:
    """Trajectories (T, N, C) from tables (T, N), one per state and trajectory; units joined by name where there are names."""
    if len({len(files) for files in channels.values()}) != 1:
        raise ConfigError("Every channel needs one file per trajectory.", found=str({k: len(v) for k, v in channels.items()}))
    found = []
    for files in zip(*channels.values(), strict=True):
        parts = []
        for file in files:
            table = read_table(file, "time series")
            values, names = table.values, table.column_names
            if names is not None and regions is not None:
                from mfm.brain.atlas import order_by_name

                values = values[:, order_by_name(names, regions, str(file))]
            parts.append(values)
        if len({part.shape for part in parts}) != 1:
            raise InputError("The channels of a trajectory have different sizes.", found=", ".join(files))
        found.append(np.stack(parts, axis=-1))
    return found


def _mechanism(config: MechanismConfig) -> tuple[Mechanism, tuple[str, ...] | None]:
    """The known equations, and the names of their units where they have any."""
    if config.name == "roessler":
        return Roessler(), None
    if config.name == "circuit":
        return MemristiveCircuit(), None
    if config.name == "none":
        if not config.states:
            raise ConfigError("A model without mechanism needs names of its states.", fix="'model.states=[x,y]'")
        return NoMechanism(tuple(config.states)), None
    if config.name == "fic":
        if config.parameters is None or config.sc is None:
            raise ConfigError("The FIC model needs model.parameters (a fit's regional.tsv) and model.sc.")
        table = Path(config.parameters)
        G = fit_record(table).get("G") if config.G is None else config.G
        if G is None:
            raise ConfigError("The global coupling is not known.", found=f"no JSON beside {table.name}", fix="model.G=VALUE")
        p, names = read_parameters(table, {"G": G})
        assert isinstance(p, mfm.FICParameters)
        sc = load_connectome(config.sc, config.sc_transform, regions=names)
        return FICMechanism(mfm.FICParameters(p.w_EE, p.w_EI, p.sigma, p.G), sc), names or sc.labels
    module, _, name = config.name.partition(":")
    if not name:
        raise ConfigError(
            "model.name is unknown.", expected="fic | none | roessler | circuit | module:object", found=repr(config.name)
        )
    # An installed command does not look for modules in the current folder by itself.
    sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(import_module(module), name)
        mechanism = found if isinstance(found, Mechanism) and not isinstance(found, type) else found()
    except (ImportError, AttributeError, TypeError) as error:
        raise ConfigError(f"The mechanism {config.name} cannot be had.", found=repr(error)) from error
    finally:
        sys.path.remove(str(Path.cwd()))
    if not isinstance(mechanism, Mechanism):
        raise ConfigError(
            f"{config.name} is no mechanism.", expected="states, currents, parameters, time_unit, drift: see mfm.ude.Mechanism"
        )
    return mechanism, None


def _residual(config: ResidualConfig, training: TrainingConfig, train: Trajectories, maps) -> Residual:
    unknown = [name for name in config.maps if maps is None or name not in maps.names]
    if unknown:
        raise ConfigError(f"The residual uses maps that are not given: {', '.join(unknown)}.", fix="model.maps={NAME: FILE}")
    own = None
    if config.maps:
        own = mfm.RegionalMaps([maps.values[maps.names.index(name)] for name in config.maps], tuple(config.maps))
    members = training.starts
    if config.kind == "edge":
        source = config.inputs[0] if len(config.inputs) == 1 else ""
        n_units = train.values.shape[3]
        return ResidualEdge(
            config.target, source, n_units=n_units, rank=config.rank, seed=training.seed, members=members,
            bound=config.bound, centre=config.centre,
        )  # fmt: skip
    common: dict[str, Any] = {"maps": own, "bound": config.bound, "centre": config.centre, "members": members}
    if config.kind == "basis":
        variables = (*config.inputs, *config.maps)
        library = None if config.terms is None else Library.of(variables, config.terms)
        common |= {"origin": config.origin, "scale": config.scale}
        return ResidualBasis(config.target, config.inputs, library=library, degree=config.degree, **common)
    mean, std = _spread(config.inputs, train)
    return ResidualMLP(
        config.target,
        config.inputs,
        hidden=config.hidden,
        gain=config.gain,
        seed=training.seed,
        origin=config.origin or mean,
        scale=config.scale or std,
        **common,
    )


def _spread(inputs: Sequence[str], train: Trajectories) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each input in the training data; 0 and 1 for what is not observed."""
    mean, std = [], []
    for name in inputs:
        observed = name in train.names
        values = train.values[..., train.names.index(name)] if observed else torch.tensor([0.0])
        values = values[torch.isfinite(values)]
        spread = float(values.std()) if observed else 1.0
        mean.append(float(values.mean()))
        std.append(spread if spread > 0 else 1.0)
    return mean, std


def _stages(loss: LossConfig, training: TrainingConfig) -> tuple[Stage, ...]:
    adam = Adam(training.iterations, training.step, weight_decay=training.weight_decay)
    shooting = MultipleShooting(loss.segment, loss.continuity)
    if loss.name == "path":
        return (Stage(PathLikelihood(loss.sigma), adam),)
    if loss.name == "latent_sde":
        if loss.sigma is None:
            raise ConfigError("A latent SDE needs its process noise.", fix="loss.sigma=[...], one number per state")
        choice = LatentSDE(loss.sigma, loss.samples, shooting, loss.state_scale, loss.hidden_start, training.seed)
        return (Stage(choice, adam),)
    schedule = GainSchedule(loss.hold, loss.end)
    observer: Innovation | Nudging | None = None
    if loss.observer != "none":
        observer = Innovation(loss.gain, schedule) if loss.observer == "innovation" else Nudging(loss.gain, schedule)
    error = PredictionError(observer, shooting, loss.state_scale, loss.hidden_start, loss.missing_size)
    if not training.curriculum or loss.segment is None:
        return (Stage(error, adam),)
    # The stages of `curriculum`, in its proportions.
    plain = curriculum(error)
    total = sum(stage.optimizer.iterations for stage in plain)
    counts = [max(1, round(training.iterations * stage.optimizer.iterations / total)) for stage in plain]
    steps = [training.step * stage.optimizer.step / plain[0].optimizer.step for stage in plain]
    return tuple(
        replace(stage, optimizer=replace(adam, iterations=n, step=step))
        for stage, n, step in zip(plain, counts, steps, strict=True)
    )
