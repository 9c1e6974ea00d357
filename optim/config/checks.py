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


def _one_of(name: str, value, allowed: tuple) -> None:
    if value not in allowed:
        raise ConfigError(f"{name} has an unknown value.", expected=" | ".join(map(str, allowed)), found=repr(value))


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise ConfigError(f"{name} is too small.", expected=f"at least {least}", found=str(value))
