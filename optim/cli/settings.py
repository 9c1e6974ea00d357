"""From Hydra's values to the dataclasses that give them meaning."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

from mfm.errors import ConfigError
from optim.cli.overrides import Override, check_interpolations, read_word, value_of
from optim.cli.schema import closest, settings_of
from optim.config.checks import check_one_of
from optim.config.fit import FitConfig
from optim.config.objective import OBJECTIVES
from optim.config.optimizer import OPTIMIZERS


def config_folder() -> Path:
    """Where the YAML files are: inside an installed wheel, or beside the packages in a checkout."""
    installed = Path(__file__).parents[1] / "_conf"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "conf"


#: Groups of a fit's settings that are one of several classes, the setting that tells which, and the classes by its value.
_CHOICES: dict[str, tuple[str, Mapping[str, type]]] = {"objective": ("search", OBJECTIVES), "optimizer": ("name", OPTIMIZERS)}


def compose(overrides: Sequence[str] = (), name: str = "fit", kind: type = FitConfig):
    """The configuration ``conf/<name>.yaml`` with overrides, checked: an instance of the dataclass `kind`.

    Settings that are text take their value as it stands (`optim.cli.overrides`): Hydra only puts the groups together.

    Raises
    ------
    ConfigError
        For an unknown group, an unknown key, a value of the wrong type, or a setting that the choice in force does not use.
    """
    return composed([read_word(word, kind, config_groups(name)) for word in overrides], name, kind)


def composed(words: Sequence[Override], name: str, kind: type):
    """As `compose`, of words that were read."""
    values = _composed(name, [word.word for word in words if word.is_group])
    return from_values(_with_values(values, [word for word in words if not word.is_group], kind), kind)


def _composed(name: str, overrides: Sequence[str]):
    """Hydra's values of a configuration with some choices of its groups."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    path = (config_folder() / name).resolve()
    try:
        with initialize_config_dir(str(path.parent), version_base="1.3"):
            return hydra_compose(path.name, overrides=list(overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(
            "The settings cannot be composed.", found=str(error), fix="mfmfit fit --settings lists all settings and choices"
        ) from error


def _with_values(values, words: Sequence[Override], kind: type):
    """`values` with those that the command line sets; the last word for a setting counts."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    OmegaConf.set_struct(values, False)
    for word in words:
        _check_no_choice(word)
        try:
            OmegaConf.update(values, word.path, value_of(word, kind), merge=True, force_add=True)
        except OmegaConfBaseException as error:
            raise ConfigError(f"{word.path} cannot be set.", found=f"{word.word}: {str(error).splitlines()[0]}") from error
    for word in words:
        check_interpolations(values, word)
    return values


def _check_no_choice(word: Override) -> None:
    """Raise if a word would choose between classes of settings, and leave those of the other behind."""
    for group, (told_by, kinds) in _CHOICES.items():
        if word.path == f"{group}.{told_by}":
            raise ConfigError(
                f"{word.path} would leave the settings of another choice behind.",
                expected=f"{group}=NAME, one of {' | '.join(kinds)}",
                found=word.word,
                fix=f"{group}={word.text if word.text in kinds else 'NAME'}",
            )


def default_values(name: str) -> dict[str, Any]:
    """What ``conf/<name>.yaml`` sets by itself, by path: the defaults of the command line."""
    from omegaconf import OmegaConf

    found: dict[str, Any] = {}

    def gather(values: Mapping, prefix: str) -> None:
        for key, value in values.items():
            found[prefix + str(key)] = value
            if isinstance(value, Mapping):
                gather(value, f"{prefix}{key}.")

    gather(OmegaConf.to_container(_composed(name, []), resolve=False), "")  # type: ignore[arg-type]
    return found


@cache
def config_groups(name: str) -> dict[str, tuple[str, ...]]:
    """The groups of ``conf/<name>.yaml``, each with its choices."""
    from omegaconf import OmegaConf

    path = config_folder() / f"{name}.yaml"
    defaults = OmegaConf.to_container(OmegaConf.load(path)).get("defaults", [])  # type: ignore[union-attr]
    groups = [str(key) for one in defaults if isinstance(one, dict) for key in one]
    return {group: tuple(sorted(file.stem for file in (path.parent / group).glob("*.yaml"))) for group in groups}


def from_values(values, kind: type = FitConfig):
    """An instance of `kind` from Hydra's values; unknown keys and wrong types are errors.

    Raises
    ------
    ConfigError
        As `compose`.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    schema = OmegaConf.structured(kind)
    _make_writable(schema)
    if kind is FitConfig:
        for group in _CHOICES:
            if group in values and values[group] is not None:
                schema[group] = OmegaConf.structured(_chosen_class(group, values[group]))
        _make_writable(schema)
    try:
        return OmegaConf.to_object(OmegaConf.merge(schema, values))
    except OmegaConfBaseException as error:
        if isinstance(error.__cause__, ConfigError):
            raise error.__cause__ from None
        raise _wrong_value(error, kind) from error


def _wrong_value(error, kind: type) -> ConfigError:
    """The error for a value that the setting's type refuses, by what OmegaConf said of it."""
    said = str(error).splitlines()[0]
    key = re.sub(r"\[\d+\]", "", error.full_key or "")
    setting = next((one for one in settings_of(kind) if one.path == key or key.startswith(f"{one.path}.")), None)
    if setting is None:
        alike = closest(key, tuple(one.path for one in settings_of(kind)))
        found = f"{key}: {said}" if key else said
        return ConfigError("A setting is unknown or has the wrong type.", expected=", ".join(alike) or None, found=found)
    return ConfigError(
        f"{key} has a value of the wrong type.", expected=f"{setting.kind}, such as {shlex.quote(setting.example)}", found=said
    )


def _chosen_class(group: str, values: Mapping) -> type:
    """The class of settings that a group's values are for, which must all be its own."""
    told_by, kinds = _CHOICES[group]
    choice = values.get(told_by)
    if choice is None:
        raise ConfigError(f"{group} is not chosen.", expected=" | ".join(f"{group}={name}" for name in kinds))
    check_one_of(f"{group}.{told_by}", choice, tuple(kinds))
    settings = {name: [field.name for field in fields(kind)] for name, kind in kinds.items()}
    for setting in values:
        if setting in settings[choice]:
            continue
        others = [name for name in kinds if setting in settings[name]]
        if not others:
            raise ConfigError(
                f"There is no setting {group}.{setting}.",
                expected=f"for {group}={choice}: {', '.join(settings[choice])}",
                found=f"{group}.{setting}={values[setting]}",
            )
        raise ConfigError(
            f"{group}.{setting} does not apply to {group}={choice}.",
            expected=f"{', '.join(settings[choice])}",
            found=f"{group}.{setting}={values[setting]}",
            cause=f"it is a setting of {' and '.join(f'{group}={name}' for name in others)}",
            fix=f"leave {group}.{setting} out, or choose {' or '.join(f'{group}={name}' for name in others)}",
        )
    return kinds[choice]


def _make_writable(node) -> None:
    """Lift the read-only flag that OmegaConf sets on the fields of frozen dataclasses."""
    from omegaconf import DictConfig, OmegaConf

    OmegaConf.set_readonly(node, None)
    for key in node:
        child = node._get_node(key)
        if isinstance(child, DictConfig) and not child._is_none():
            _make_writable(child)
