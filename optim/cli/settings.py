"""From Hydra's values to the dataclasses that give them meaning."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

from mfm.errors import ConfigError
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

    Raises
    ------
    ConfigError
        For an unknown group, an unknown key, a value of the wrong type, or a setting that the choice in force does not use.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException, MissingConfigException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    path = (config_folder() / name).resolve()
    # Values that have the name of a fit's group: Hydra would look for a file.
    own = {field.name for field in fields(kind)} if kind is not FitConfig else set()
    plain = [text for text in overrides if (key := text.partition("=")[0]) in own and (path.parent / key).is_dir()]
    kept = [_as_text(text) for text in overrides if text not in plain]
    rewritten = [_let_in(text) for text in kept] if kind is FitConfig else kept
    try:
        with initialize_config_dir(str(path.parent), version_base="1.3"):
            values = hydra_compose(path.name, overrides=rewritten)
    except MissingConfigException as error:
        raise _missing_group(error, path.parent) from error
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(
            "The settings cannot be composed.", found=str(error), fix="see conf/ for the groups and keys"
        ) from error
    return from_values(OmegaConf.merge(values, OmegaConf.from_dotlist(plain)), kind)


def _missing_group(error, folder: Path) -> ConfigError:
    """What is said of a group's choice that is not there (Hydra's `MissingConfigException`): what is."""
    group, _, choice = str(error.missing_cfg_file).rpartition("/")
    return ConfigError(
        f"There is no {group}={choice}." if group else f"There is no {choice}.",
        expected=" | ".join(f"{group}={name}" for name in error.options or ()) or None,
        found=f"no file {folder / group / choice}.yaml",
        fix="docs/extending.md says how to add one" if group == "model" else None,
    )


def _as_text(override: str) -> str:
    """Ids of subjects and sessions and atlas names in quotes: Hydra would read 000123 or 1e5 as a number."""
    return re.sub(r"^((?:data\.subject|data\.session|atlas\.name)=)([A-Za-z0-9._-]+)$", r'\1"\2"', override)


def _let_in(override: str) -> str:
    """A setting of a choice or a model with Hydra's ``++``, which lets unknown keys in: checks tell better what is wrong."""
    for group, (told_by, kinds) in _CHOICES.items():
        if override.startswith(f"{group}.{told_by}="):
            value = override.partition("=")[2]
            raise ConfigError(
                f"{group}.{told_by} would leave the settings of another choice behind.",
                expected=f"{group}=NAME, one of {' | '.join(kinds)}",
                found=override,
                fix=f"{group}={value if value in kinds else 'NAME'}",
            )
        if override.startswith(f"{group}."):
            return f"++{override}"
    return f"++{override}" if override.startswith("model.") else override


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
        raise ConfigError("A setting is unknown or has the wrong type.", found=str(error)) from error


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
