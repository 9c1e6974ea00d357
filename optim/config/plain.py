"""A configuration from plain values, as the JSON of a fit keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

from mfm.errors import ConfigError
from optim.config.fit import FitConfig
from optim.config.objective import OBJECTIVES
from optim.config.optimizer import OPTIMIZERS


def config_from_plain(values: Mapping[str, Any]) -> FitConfig:
    """The configuration of which `values` is `FitConfig.as_dict`, perhaps after JSON.

    Raises
    ------
    ConfigError
        If a setting is unknown, as one of another version may be.

    Examples
    --------
    >>> from optim import FitConfig
    >>> from optim.config.plain import config_from_plain
    >>> config_from_plain(FitConfig().as_dict()) == FitConfig()
    True
    """
    kinds: dict[str, Any] = {}
    for group, told_by, known in (("objective", "search", OBJECTIVES), ("optimizer", "name", OPTIMIZERS)):
        choice = values.get(group, {}).get(told_by)
        if choice not in known:
            raise ConfigError(f"{group}.{told_by} has an unknown value.", expected=" | ".join(known), found=repr(choice))
        kinds[group] = known[choice]
    return _instance(FitConfig, values, "", kinds)


def _instance(kind: type, values: Mapping[str, Any], prefix: str, kinds: Mapping[str, type]) -> Any:
    hints, names = get_type_hints(kind), [field.name for field in fields(kind)]
    given: dict[str, Any] = {}
    for name, value in values.items():
        if name not in names:
            raise ConfigError(
                f"There is no setting {prefix}{name}.", expected=", ".join(names), found=f"{prefix}{name}={value}"
            )
        inner = kinds.get(f"{prefix}{name}", hints[name])
        nested = isinstance(inner, type) and is_dataclass(inner) and isinstance(value, Mapping)
        given[name] = _instance(inner, value, f"{prefix}{name}.", kinds) if nested else value
    return kind(**given)
