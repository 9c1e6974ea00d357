"""From Hydra's values to the dataclasses that give them meaning."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from mfm.errors import ConfigError
from optim.config.fit import FitConfig


def config_folder() -> Path:
    """Where the YAML files are: inside an installed wheel, or beside the packages in a checkout."""
    installed = Path(__file__).parents[1] / "_conf"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "conf"


def compose(overrides: Sequence[str] = (), name: str = "fit", kind: type = FitConfig):
    """The configuration ``conf/<name>.yaml`` with overrides, checked: an instance of the dataclass `kind`.

    Raises
    ------
    ConfigError
        For an unknown group, an unknown key or a value of the wrong type.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    path = (config_folder() / name).resolve()
    try:
        with initialize_config_dir(str(path.parent), version_base="1.3"):
            values = hydra_compose(path.name, overrides=[_as_text(override) for override in overrides])
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(
            "The settings cannot be composed.", found=str(error), fix="see conf/ for the groups and keys"
        ) from error
    return from_values(values, kind)


def _as_text(override: str) -> str:
    """Ids of subjects and sessions and atlas names in quotes: Hydra would read 000123 or 1e5 as a number."""
    return re.sub(r"^((?:data\.subject|data\.session|atlas\.name)=)([A-Za-z0-9._-]+)$", r'\1"\2"', override)


def from_values(values, kind: type = FitConfig):
    """An instance of `kind` from Hydra's values; unknown keys and wrong types are errors."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    schema = OmegaConf.structured(kind)
    _make_writable(schema)
    try:
        return OmegaConf.to_object(OmegaConf.merge(schema, values))
    except OmegaConfBaseException as error:
        if isinstance(error.__cause__, ConfigError):
            raise error.__cause__ from None
        raise ConfigError("A setting is unknown or has the wrong type.", found=str(error)) from error


def _make_writable(node) -> None:
    """Lift the read-only flag that OmegaConf sets on the fields of frozen dataclasses."""
    from omegaconf import DictConfig, OmegaConf

    OmegaConf.set_readonly(node, None)
    for key in node:
        child = node._get_node(key)
        if isinstance(child, DictConfig) and not child._is_none():
            _make_writable(child)
