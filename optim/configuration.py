"""From Hydra's values to the dataclasses that give them meaning."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from mfm.errors import ConfigError
from optim.config import FitConfig
from optim.ude.config import UDEConfig


def config_folder() -> Path:
    """Where the YAML files are: inside an installed wheel, or beside the packages in a checkout."""
    installed = Path(__file__).parent / "_conf"
    return installed if installed.is_dir() else Path(__file__).parents[1] / "conf"


def compose(overrides: Sequence[str] = ()) -> FitConfig:
    """The configuration ``conf/fit.yaml`` with overrides, checked.

    Raises
    ------
    ConfigError
        For an unknown group, an unknown key or a value of the wrong type.
    """
    return _checked(FitConfig, _composed(config_folder(), overrides))


def compose_ude(overrides: Sequence[str] = ()) -> UDEConfig:
    """The configuration ``conf/ude/fit.yaml`` with overrides, checked; a `ConfigError` as for `compose`."""
    return _checked(UDEConfig, _composed(config_folder() / "ude", overrides))


def _composed(folder: Path, overrides: Sequence[str]):
    """Hydra's values of ``fit.yaml`` in a folder."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        with initialize_config_dir(str(folder.resolve()), version_base="1.3"):
            return hydra_compose("fit", overrides=[_as_text(override) for override in overrides])
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(
            "The settings cannot be composed.", found=str(error), fix="see conf/ for the groups and keys"
        ) from error


def _as_text(override: str) -> str:
    """Subject ids and atlas names in quotes: Hydra would read 000123 or 1e5 as a number."""
    return re.sub(r"^((?:data\.subject|atlas\.name)=)([A-Za-z0-9._-]+)$", r'\1"\2"', override)


def from_values(values) -> FitConfig:
    """A `FitConfig` from Hydra's values; unknown keys and wrong types are errors."""
    return _checked(FitConfig, values)


def ude_from_values(values) -> UDEConfig:
    """A `UDEConfig` from Hydra's values; unknown keys and wrong types are errors."""
    return _checked(UDEConfig, values)


def _checked(kind: type, values):
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
