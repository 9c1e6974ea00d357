"""Messages of the library name arguments of Python; here they become what a person types on the command line."""

from __future__ import annotations

import ast
import re
import shlex
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Union, get_args, get_origin, get_type_hints

#: What an argument's name becomes: a setting (``data.sc_transform``) or an option (``--sc-transform``).
Names = Mapping[str, str]

#: Arguments of `mfm.load_connectome` and `mfm.io.StageFiles` that the configuration calls otherwise or has more than once.
_OTHER_NAMES = {
    "transform": "data.sc_transform",
    "scale_max": "data.sc_scale_max",
    "scale_mean": "data.sc_scale_mean",
    "atlas": "data.sc_file.atlas",
    "fc": "data.search.fc",
    "fcd_cdf": "data.search.fcd_cdf",
    "zscore": "data.maps_zscore",
    # What cleaning does to recordings is called alike; messages of `mfm.Observation` say what a simulation goes through.
    "low_pass_hz": "data.observation.low_pass_hz",
    "high_pass_hz": "data.observation.high_pass_hz",
}
#: Groups whose names come before those of all others, and after them; between equals a name stays as it is.
_RANKS = {"data": 0, "acquisition": 0, "refine": 2, "second": 2}

_BACKQUOTED = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_PLAIN = re.compile(r"[A-Za-z0-9_./*+@%-]+")
_WORDS_OF_HYDRA = {"true", "false", "null", "nan", "inf", "+inf", "-inf"}


class _NotSaid(Exception):
    """What stands between backquotes is nothing that one types here."""


def fit_settings() -> Names:
    """The settings of ``mfmfit fit``, by the names that the library's arguments have."""
    from optim.config.fit import FitConfig

    return setting_paths(FitConfig)


def as_settings(text: str, names: Callable[[], Names] = fit_settings) -> str:
    """The library's `text` as the command line says it: arguments between backquotes become settings to type.

    Parameters
    ----------
    text : str
        What is between backquotes, but neither a known name nor known names with values, stays as it is.
    names : function that returns a mapping, default `fit_settings`
        Called only if there is something between backquotes: what it needs may be slow to import.

    Examples
    --------
    >>> from optim.cli.messages import as_settings
    >>> as_settings('set `transform="log1p"`, or `timeseries=["a 1.tsv", "b.tsv"]`: see `load_connectome`')
    'set data.sc_transform=log1p, or \\'data.timeseries=["a 1.tsv",b.tsv]\\': see `load_connectome`'
    >>> as_settings("`tr_s=0.72` is missing", lambda: {"tr_s": "--tr"})
    '--tr 0.72 is missing'
    """

    def typed(match: re.Match) -> str:
        try:
            return _typed(match[1], names())
        except _NotSaid:
            return match[0]

    return _BACKQUOTED.sub(typed, text)


@cache
def setting_paths(kind: type) -> Names:
    """Where each field of a configuration class and of its groups is set, by the field's name.

    Of several fields of one name counts the one nearest the top; of those equally near, one of the data or acquisition; a
    name that then still means several settings is left out. Names that the library has for settings called otherwise are
    added.
    """
    found: dict[str, str] = {}
    paths: set[str] = set()
    level: list[tuple[str, type]] = [("", kind)]
    while level:
        candidates: dict[str, set[tuple[int, str]]] = defaultdict(set)
        below = []
        for prefix, group in level:
            for name, inner in _fields(group):
                path = prefix + name
                paths.add(path)
                below += [(f"{path}.", member) for member in inner]
                if prefix or not inner:
                    candidates[name].add((_RANKS.get(path.split(".")[0], 1), path))
        for name, ranked in candidates.items():
            best = [path for rank, path in ranked if rank == min(ranked)[0]]
            found.setdefault(name, best[0] if len(best) == 1 else "")
        level = below
    found |= {name: path for name, path in _OTHER_NAMES.items() if path in paths}
    return {name: path for name, path in found.items() if path}


def _fields(group: type) -> Iterator[tuple[str, list[type]]]:
    """Names of a dataclass's fields, each with the dataclasses that it may hold."""
    hints = get_type_hints(group)
    for field in fields(group):
        hint = hints[field.name]
        members = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
        groups = [member for member in members if is_dataclass(member) and isinstance(member, type)]
        # A choice is declared by the class that its kinds share.
        yield field.name, [kind for group in groups for kind in (group, *group.__subclasses__())]


def _typed(code: str, names: Names) -> str:
    """What a person types for ``name``, ``name=value`` or several of the latter."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # a backslash in a path
            call = ast.parse(f"_({code})", mode="eval").body
    except (SyntaxError, ValueError):
        raise _NotSaid from None
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise _NotSaid
    if len(call.args) == 1 and not call.keywords and isinstance(call.args[0], ast.Name):
        return _known(call.args[0].id, names)
    if call.args or not call.keywords:
        raise _NotSaid
    return " ".join(word for argument in call.keywords for word in _words(_known(argument.arg, names), argument.value))


def _known(name: str | None, names: Names) -> str:
    if name is None or name not in names:
        raise _NotSaid
    return names[name]


def _words(path: str, value: ast.expr) -> Iterator[str]:
    """The words of a shell that set `path`: more than one where the value is a dataclass such as ``Cleaning(detrend=True)``."""
    if isinstance(value, ast.Call) and not value.args and value.keywords and not path.startswith("-"):
        for argument in value.keywords:
            yield from _words(f"{path}.{argument.arg}", argument.value)
    elif path.startswith("-"):
        plain = isinstance(value, ast.Constant) and isinstance(value.value, str)
        yield f"{path} {shlex.quote(value.value if plain else _in_hydra(value))}"  # type: ignore[attr-defined]
    else:
        yield shlex.quote(f"{path}={_in_hydra(value)}")


def as_word(path: str, text: str) -> str:
    """Return the word of a shell that sets a setting to a text, whatever is in it.

    Examples
    --------
    >>> from optim.cli.messages import as_word
    >>> print(as_word("data.folder", "my study"), as_word("data.folder", "study"))
    'data.folder="my study"' data.folder=study
    """
    return shlex.quote(f"{path}={_text_in_hydra(text)}")


def _in_hydra(value: ast.expr) -> str:
    """A value as Hydra's grammar has it; a name stands for what the reader has to fill in, such as ``FILE``."""
    match value:
        case ast.Name(id=name):
            return name
        case ast.Constant(value=None):
            return "null"
        case ast.Constant(value=bool(flag)):
            return "true" if flag else "false"
        case ast.Constant(value=str(text)):
            return _text_in_hydra(text)
        case ast.Constant(value=int() | float() as number):
            return str(number)
        case ast.Constant(value=ellipsis) if ellipsis is ...:
            return "..."
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            return str(-number)
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            return f"[{','.join(_in_hydra(part) for part in parts)}]"
        case ast.Dict(keys=keys, values=values):
            return "{" + ", ".join(f"{_key(k)}: {_in_hydra(v)}" for k, v in zip(keys, values, strict=True)) + "}"
    raise _NotSaid


def _key(key: ast.expr | None) -> str:
    if isinstance(key, ast.Constant) and isinstance(key.value, str) and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", key.value):
        return key.value
    raise _NotSaid


def _text_in_hydra(text: str) -> str:
    """Text as it is where Hydra would read it as text, else between quotes."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS_OF_HYDRA and not _is_number(text):
        return text
    escaped = re.sub(r"(\\*)(\"|$)", lambda m: m[1] * 2 + ('\\"' if m[2] else ""), text)
    return f'"{escaped}"'


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
