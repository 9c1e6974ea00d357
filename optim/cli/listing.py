"""All settings of a command, as ``--settings`` prints them: groups and their choices, then each setting by its group."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

_WIDTH = 118


def add_settings_option(parser: argparse.ArgumentParser, name: str, kind: Callable[[], type]) -> None:
    """Declare ``--settings``, which prints the settings of ``conf/<name>.yaml`` and stops.

    Parameters
    ----------
    parser : ArgumentParser
    name : str
    kind : function that returns a class
        The configuration class; called only if it is asked for, since it takes long to import.
    """

    class Show(argparse.Action):
        def __call__(self, parser, namespace, values, option_string=None):
            from optim.cli.settings import config_groups, default_values

            print(listing(kind(), config_groups(name), default_values(name)))
            parser.exit()

    parser.add_argument("--settings", action=Show, nargs=0, help="print all settings with their meaning and default, and stop")


def listing(kind: type, groups: Mapping[str, tuple[str, ...]], defaults: Mapping[str, Any]) -> str:
    """Return all settings of a configuration class as text; `defaults` by path come before those of the class."""
    from optim.cli.schema import as_typed, settings_of

    lines = [
        "Typed as SETTING=VALUE; lists as 'SETTING=[A,B]', mappings as 'SETTING={NAME: VALUE}', nothing as SETTING=null.",
        "",
    ]
    if groups:
        lines += ["choices of whole groups"]
        lines += [f"  {group}={' | '.join(choices)}" for group, choices in groups.items()]
    last = ""
    for setting in settings_of(kind):
        group = setting.path.partition(".")[0] if "." in setting.path else ""
        if group != last or not lines[-1]:
            lines += ["", group or "settings"]
            last = group
        of = f"; of {', '.join(_short(one) for one in setting.of)}" if _of_few(setting.of, kind, group) else ""
        lines.append(f"  {setting.path}={as_typed(defaults.get(setting.path, setting.default))}  ({setting.kind}{of})")
        lines += textwrap.wrap(setting.meaning, _WIDTH, initial_indent="      ", subsequent_indent="      ")
    return "\n".join(lines)


def _of_few(of: tuple[str, ...], kind: type, group: str) -> bool:
    """Whether a setting belongs to some kinds of its group only."""
    from optim.cli.schema import classes_of, hints_of

    hint: Any = hints_of(kind).get(group)
    return bool(of) and hint is not None and len(of) < len(classes_of(hint))


def _short(name: str) -> str:
    return name.removesuffix("Config").removesuffix("Objective").lower()
