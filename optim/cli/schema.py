"""What a command's settings are: path, type, default and meaning of each, from the dataclasses and their docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

_WORDS: dict[Any, str] = {str: "text", int: "whole number", float: "number", bool: "true or false", Any: "anything"}
#: Values to show where there is no default, by type.
_EXAMPLES: dict[Any, str] = {str: "TEXT", int: "1", float: "0.5", bool: "true", Any: "VALUE"}


@dataclass(frozen=True)
class Setting:
    """One setting of a command.

    Parameters
    ----------
    path : str
        As it is typed: ``optimizer.seed``.
    hint : type
    default : object
    meaning : str
        From the docstring of its class.
    of : tuple of str
        Names of the classes that have it, where the group is one of several.
    """

    path: str
    hint: Any
    default: Any
    meaning: str
    of: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """What it takes, in words."""
        return in_words(self.hint)

    @property
    def example(self) -> str:
        """A word of the command line that sets it."""
        value = self.default
        shown = _example(self.hint) if value is None or value in ([], {}, "") else as_typed(value)
        return f"{self.path}={shown}"


def in_words(hint: Any) -> str:
    """Return a type as a person says it.

    Examples
    --------
    >>> from optim.cli.schema import in_words
    >>> in_words(dict[str, str] | None), in_words(list[int])
    ('mapping of name to text, or null', 'list of whole number')
    """
    inner, optional = without_none(hint)
    arguments = get_args(inner)
    if get_origin(inner) in (list, tuple):
        text = f"list of {in_words(arguments[0])}"
    elif get_origin(inner) is dict:
        text = f"mapping of name to {in_words(arguments[1])}"
    else:
        text = _WORDS.get(inner, getattr(inner, "__name__", str(inner)))
    return f"{text}, or null" if optional else text


def _example(hint: Any) -> str:
    inner, _ = without_none(hint)
    if get_origin(inner) in (list, tuple):
        return f"[{_example(get_args(inner)[0])}]"
    if get_origin(inner) is dict:
        return f"{{NAME: {_example(get_args(inner)[1])}}}"
    return _EXAMPLES.get(inner, "VALUE")


def as_typed(value: Any) -> str:
    """Return a value as it is typed after ``=``."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{','.join(map(as_typed, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {as_typed(one)}" for key, one in value.items()) + "}"
    return str(value)


def without_none(hint: Any) -> tuple[Any, bool]:
    """Return a type without None, and whether None was allowed."""
    if get_origin(hint) not in (Union, UnionType):
        return hint, False
    members = [member for member in get_args(hint) if member is not NoneType]
    optional = len(members) < len(get_args(hint))
    return (members[0] if len(members) == 1 else Union[tuple(members)]), optional  # noqa: UP007


def classes_of(hint: Any) -> list[type]:
    """Return the dataclasses that a field may hold: a choice is declared by the class that its kinds share."""
    inner, _ = without_none(hint)
    members = get_args(inner) if get_origin(inner) in (Union, UnionType) else (inner,)
    groups = [member for member in members if isinstance(member, type) and is_dataclass(member)]
    return [kind for group in groups for kind in (group, *group.__subclasses__())]


@cache
def hints_of(kind: type) -> dict[str, Any]:
    """Return the types of a dataclass's fields."""
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def hint_at(kind: type, path: str) -> Any | None:
    """Return the type of what stands at a dotted path; None where there is no such setting."""
    hints = [kind]
    for name in path.split("."):
        below = []
        for hint in hints:
            inner, _ = without_none(hint)
            if classes := classes_of(inner):
                below += [hints_of(one)[name] for one in classes if name in hints_of(one)]
            elif get_origin(inner) is dict:
                below.append(get_args(inner)[1])
            elif inner is Any:
                below.append(Any)
        hints = below
    return hints[0] if hints else None


@cache
def settings_of(kind: type) -> tuple[Setting, ...]:
    """Return all settings of a configuration class, group by group, in the order in which they are declared."""
    found: dict[str, Setting] = {}
    for setting in _walk((kind,), ""):
        earlier = found.get(setting.path)
        of = tuple(dict.fromkeys((*(earlier.of if earlier else ()), *setting.of)))
        # Of a choice the class that knows a meaning tells it: its kinds say "as in" for what they share.
        first = setting if earlier is None or not earlier.meaning else earlier
        found[setting.path] = Setting(first.path, first.hint, first.default, first.meaning, of)
    return tuple(found.values())


def _walk(kinds: tuple[type, ...], prefix: str) -> Iterator[Setting]:
    for kind in kinds:
        for field in fields(kind):
            hint, path = hints_of(kind)[field.name], prefix + field.name
            if inner := classes_of(hint):
                yield from _walk(tuple(inner), f"{path}.")
                continue
            default = field.default if field.default is not MISSING else None
            if field.default_factory is not MISSING:
                default = field.default_factory()
            meaning = meanings_of(kind).get(field.name, "")
            yield Setting(path, hint, default, meaning, (kind.__name__,) if len(kinds) > 1 else ())


@cache
def meanings_of(kind: type) -> dict[str, str]:
    """Return what the docstrings of a class and of those above it say of each parameter, the nearest first."""
    found: dict[str, str] = {}
    for one in kind.__mro__[:-1]:
        for name, text in _parameters(inspect.cleandoc(one.__dict__.get("__doc__") or "")).items():
            found.setdefault(name, text)
    return found


def _parameters(doc: str) -> dict[str, str]:
    """The section ``Parameters`` of a numpydoc docstring: name, then type and description in one text."""
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\w[\w ]*\n-+$|\Z)", doc, re.MULTILINE | re.DOTALL)
    found: dict[str, str] = {}
    names: list[str] = []
    for line in (section[1] if section else "").splitlines():
        if line and not line[0].isspace():
            head, _, told = line.partition(" : ")
            names = [name.strip() for name in head.split(",")]
            # Of types only choices are worth saying: the rest is the field's own type.
            found |= dict.fromkeys(names, f"{told.strip()}:" if re.search(r"[{\"\[]", told) else "")
        elif line.strip():
            for name in names:
                found[name] = f"{found[name]} {line.strip()}".strip()
    return {name: text.removesuffix(":") for name, text in found.items()}


def closest(path: str, known: tuple[str, ...]) -> list[str]:
    """Return the settings that a mistyped one may have meant: alike as a whole, or in their last word."""
    last = path.rpartition(".")[2]
    same = [one for one in known if one.rpartition(".")[2] == last]
    alike = get_close_matches(path, known, n=2, cutoff=0.75)
    by_last: dict[str, list[str]] = {}
    for one in known:
        by_last.setdefault(one.rpartition(".")[2], []).append(one)
    near = [one for word in get_close_matches(last, by_last, n=1, cutoff=0.6) for one in by_last[word]]
    return list(dict.fromkeys([*same, *alike, *near]))[:3]
