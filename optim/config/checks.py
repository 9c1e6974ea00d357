"""Checks of settings."""

from __future__ import annotations

import re

from mfm.errors import ConfigError


def check_entity(name: str, value: str) -> None:
    """Raise a ConfigError unless `value` can stand in a file name."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", value):
        raise ConfigError(
            f"{name} cannot be part of a file name.", expected="letters, digits, '.', '_', '-'", found=repr(value)
        )


def check_one_of(name: str, value, allowed: tuple) -> None:
    """Raise a ConfigError unless the setting `name` has one of the allowed values."""
    if value not in allowed:
        raise ConfigError(f"{name} has an unknown value.", expected=" | ".join(map(str, allowed)), found=repr(value))


def check_at_least(name: str, value: int, least: int) -> None:
    """Raise a ConfigError if the setting `name` is below `least`."""
    if value < least:
        raise ConfigError(f"{name} is too small.", expected=f"at least {least}", found=str(value))


def check_choice(name: str, value: str, own: str, kinds: dict[str, type]) -> None:
    """Raise a ConfigError unless the setting that tells configuration classes apart has the value of its own class.

    Parameters
    ----------
    name : str
        Such as ``objective.search``.
    value, own : str
        What it is, and what it is in this class.
    kinds : dict of value to class
    """
    check_one_of(name, value, tuple(kinds))
    if value != own:
        raise ConfigError(
            f"{name} says which class of settings this is.",
            expected=f"{own!r} for {kinds[own].__name__}",
            found=repr(value),
            fix=f"optim.config.{kinds[value].__name__}(...)",
        )
