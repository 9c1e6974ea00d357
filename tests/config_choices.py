"""Settings of one choice carried over to another."""

from dataclasses import fields


def chosen(settings, kind, **changes):
    """The settings that `settings` and the class `kind` share, as an instance of that, with changes."""
    shared = {f.name for f in fields(settings)} & {f.name for f in fields(kind)} - {"search", "name"}
    return kind(**{**{name: getattr(settings, name) for name in shared}, **changes})
