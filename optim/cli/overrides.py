"""Words of the command line, ``setting=value``, read by what the setting is.

Hydra's grammar reads ``1e3`` as a number, ``a,b`` as a sweep and ``{x}`` as a mapping, whatever the setting. Here a setting
that is text takes everything after its first ``=`` as it stands; quotes around all of it are taken off. Numbers and what else
is no text are read by Hydra's grammar.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, get_args, get_origin

from mfm.errors import ConfigError
from optim.cli.schema import Setting, classes_of, closest, hint_at, hints_of, in_words, settings_of, without_none

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_][A-Za-z0-9_-]*)*")
#: What Hydra lets a backslash stand before where there are no quotes.
_ESCAPED = re.compile(r"\\([\\()\[\]{}:=, \t])")
_INTERPOLATION = re.compile(r"(?<!\\)\$\{([^}]*)\}?")
_PAIRS = {"[": "]", "{": "}"}


@dataclass(frozen=True)
class Override:
    """One word of the command line.

    Parameters
    ----------
    path : str
    text : str
        What stands after the first ``=``.
    is_group : bool
        Whether it chooses a file of a group (``objective=linear``) rather than set a value.
    """

    path: str
    text: str
    is_group: bool

    @property
    def word(self) -> str:
        return f"{self.path}={self.text}"


def read_word(word: str, kind: type, groups: Mapping[str, tuple[str, ...]]) -> Override:
    """Return the override that a word is.

    Parameters
    ----------
    word : str
    kind : type
        Configuration class.
    groups : mapping of name to choices

    Raises
    ------
    ConfigError
        If it is no ``setting=value``, or there is no such setting or choice.
    """
    key, equals, text = word.partition("=")
    path = key.lstrip("+")
    if path.startswith("hydra") and path[5:6] in (".", "/"):
        raise ConfigError("Settings of Hydra itself are not used.", found=word, fix="sweeps: mfmfit fit -m SETTING=A,B ...")
    if path.startswith("~"):
        raise ConfigError("Settings are not taken away.", found=word, fix=f"{path[1:].partition('=')[0]}=null, or leave it out")
    if not equals or not _KEY.fullmatch(path):
        raise _no_setting(word, kind, bool(equals))
    is_group = path in groups and not text.startswith("{")
    if is_group:
        _check_choice(path, text, groups[path])
    elif hint_at(kind, path) is None:
        raise _unknown(path, text, kind, groups)
    if not text:
        raise ConfigError(
            f"{path} has no value.",
            found=word,
            cause="a variable of the shell that is empty",
            fix=f"{path}=VALUE, or leave it out",
        )
    return Override(path, text, is_group)


def _check_choice(group: str, text: str, choices: tuple[str, ...]) -> None:
    for one in text.split(","):
        if one not in choices and one != "null":
            alike = get_close_matches(one, choices, n=1)
            raise ConfigError(
                f"There is no {group}={one}.",
                expected=" | ".join(f"{group}={choice}" for choice in choices),
                found=f"{group}={text}",
                fix=f"{group}={alike[0]}" if alike else "docs/extending.md says how to add one" if group == "model" else None,
            )


def value_of(override: Override, kind: type) -> Any:
    """Return the value that an override sets, read by the type of its setting.

    Raises
    ------
    ConfigError
        If the text is not of that type.
    """
    hint = hint_at(kind, override.path)
    return _read(hint, override.text, override)


def choices_of(override: Override, kind: type) -> tuple[str, ...]:
    """Return the values that an override has in a sweep, each as text: between commas that stand in no brackets or quotes.

    Raises
    ------
    ConfigError
        If the text cannot be read.
    """
    inner, _ = without_none(hint_at(kind, override.path)) if not override.is_group else (str, False)
    if _is_plain(inner) and not _SWEEP_FUNCTION.match(override.text):
        parts = split_top(override.text)
        if parts is None or not all(parts):
            return (override.text,)  # read as one value, which says what is wrong with it
        return tuple(dict.fromkeys(parts))
    parsed = _parsed_by_hydra(override.text, inner, override)
    if not parsed.is_sweep_override():
        return (override.text,)
    return tuple(dict.fromkeys(parsed.sweep_string_iterator()))


#: Hydra's functions that stand for several values.
_SWEEP_FUNCTION = re.compile(r"(choice|range|sort|shuffle)\(.*\)$")


def _is_plain(inner: Any) -> bool:
    """Whether values of a type are split here, at their commas: text, and lists, mappings and groups of whatever."""
    return inner is str or get_origin(inner) in (list, tuple, dict) or bool(classes_of(inner))


def _read(hint: Any, text: str, override: Override) -> Any:
    inner, optional = without_none(hint)
    if optional and text.strip() == "null":
        return None
    arguments = get_args(inner)
    if inner is str:
        return _text(text, override)
    if get_origin(inner) in (list, tuple):
        parts = _parts(_inside(text, "[", hint, override), override)
        return [_read(arguments[0], part, override) for part in parts]
    if get_origin(inner) is dict:
        pairs = (_pair(part, override) for part in _parts(_inside(text, "{", hint, override), override))
        return {key: _read(arguments[1], value, override) for key, value in pairs}
    if classes := classes_of(inner):
        pairs = (_pair(part, override) for part in _parts(_inside(text, "{", hint, override), override))
        known = hints_of(classes[0])
        return {key: _read(known.get(key, Any), value, override) for key, value in pairs}
    return _by_hydra(text, hint, override)


def _text(text: str, override: Override) -> str:
    """Text as it stands, without quotes around all of it."""
    quote = text[:1]
    if len(text) > 1 and quote in "\"'" and text.endswith(quote):
        plain = re.sub(rf"(\\+)({quote}|$)", lambda m: m[1][: len(m[1]) // 2] + m[2], text[1:-1])
    else:
        plain = _ESCAPED.sub(r"\1", text)
    return plain


def check_interpolations(values: Any, override: Override) -> None:
    """Raise a ConfigError for ``${...}`` in an override where it names nothing in the configuration `values`."""
    from omegaconf import OmegaConf

    for found in _INTERPOLATION.finditer(override.text):
        if ":" not in found[1] and OmegaConf.select(values, found[1]) is None:
            _refuse_variable(found[0], override)


def _refuse_variable(found: str, override: Override) -> None:
    raise ConfigError(
        f"{override.path} holds {found}, which nothing fills in.",
        expected="text, or a setting such as ${data.subject}",
        found=override.word,
        cause="a variable of the shell between single quotes",
        fix=f"double quotes, so that the shell fills it in; or \\{found} where the name has these very letters",
    )


def _inside(text: str, opening: str, hint: Any, override: Override) -> str:
    """What stands between the brackets of a list or a mapping."""
    stripped = text.strip()
    closing = _PAIRS[opening]
    if stripped.startswith(opening) and stripped.endswith(closing) and len(stripped) > 1:
        return stripped[1:-1]
    what = "list" if opening == "[" else "mapping"
    example = f"{override.path}={opening}{'A,B' if opening == '[' else 'NAME: VALUE'}{closing}"
    if stripped.startswith(opening):
        raise ConfigError(
            f"{override.path} is a {what} that is not closed.",
            expected=f"'{example}'",
            found=override.word,
            cause="a space, at which the shell ends a word",
            fix=f"quotes around the whole: '{override.path}={opening}...{closing}'",
        )
    fix = shlex.quote(f"{override.path}={opening}{stripped}{closing}") if opening == "[" or ":" in stripped else f"'{example}'"
    cause = (
        "brackets that are missing" if opening == "[" else "braces that are missing, or that the shell took: quotes keep them"
    )
    raise ConfigError(
        f"{override.path} is a {what}.", expected=f"{in_words(hint)}: '{example}'", found=override.word, cause=cause, fix=fix
    )


def _pair(part: str, override: Override) -> tuple[str, str]:
    key, colon, value = part.partition(":")
    key = key.strip()
    if len(key) > 1 and key[0] == key[-1] and key[0] in "\"'":
        key = key[1:-1]
    if not colon or not key:
        raise ConfigError(
            f"{override.path} is a mapping, in which every value has a name.",
            expected=f"'{override.path}={{NAME: VALUE, NAME: VALUE}}'",
            found=override.word,
            cause="a comma within a value: quotes around the value keep it",
        )
    return key, value.strip()


def split_top(text: str) -> list[str] | None:
    """Split at commas that stand neither in quotes nor in brackets; None where quotes or brackets are not closed.

    A quote counts where a value begins, so that ``Mary's.csv`` needs none.
    """
    parts, begin, depth, quote, k = [], 0, 0, "", 0
    while k < len(text):
        c = text[k]
        if c == "\\":
            k += 1
        elif quote:
            quote = "" if c == quote else quote
        elif c in "\"'" and not re.sub(r"^[^:]*:", "", text[begin:k]).strip(" [{"):
            quote = c
        elif c in _PAIRS:
            depth += 1
        elif c in _PAIRS.values():
            depth -= 1
        elif c == "," and depth == 0:
            parts.append(text[begin:k].strip())
            begin = k + 1
        k += 1
    return None if quote or depth else [*parts, text[begin:].strip()]


def _parts(text: str, override: Override) -> list[str]:
    if not text.strip():
        return []
    parts = split_top(text)
    if parts is None or not all(parts):
        raise ConfigError(
            f"{override.path} cannot be read.",
            expected="values with commas between them; one that holds quotes, brackets or commas stands in quotes",
            found=override.word,
            cause="a quote or bracket that is not closed" if parts is None else "a comma too many",
        )
    return parts


def _by_hydra(text: str, hint: Any, override: Override) -> Any:
    """A value that is no text, by Hydra's grammar."""
    parsed = _parsed_by_hydra(text, hint, override)
    if parsed.is_sweep_override():
        raise ConfigError(
            f"{override.path} has several values.",
            expected=f"one: {in_words(hint)}",
            found=override.word,
            fix=f"one of them; or, for a fit with each: mfmfit fit -m {shlex.quote(override.word)} ...",
        )
    return parsed.value()


def _parsed_by_hydra(text: str, hint: Any, override: Override):
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_override(f"x={text}")
    except HydraException as error:
        raise ConfigError(
            f"{override.path} cannot be read.", expected=in_words(hint), found=override.word, cause=str(error).splitlines()[0]
        ) from error


def _no_setting(word: str, kind: type, has_value: bool) -> ConfigError:
    """The error for a word that is no ``setting=value``."""
    name, colon, _ = word.partition(":")
    if colon and hint_at(kind, name.strip()) is not None:
        cause, fix = "a colon in place of the equals sign", word.replace(":", "=", 1).replace("= ", "=")
    elif hint_at(kind, word) is not None or word in ("=", ""):
        cause, fix = "spaces around the equals sign", "no spaces: SETTING=VALUE"
    elif re.search(r"[\]},]$", word):
        cause, fix = "a space in a list or a mapping, at which the shell ended the word", "quotes: 'SETTING=[A, B]'"
    else:
        cause, fix = "a space, at which the shell ended the word before", "quotes around a word with spaces: 'SETTING=A B'"
    return ConfigError("This is no setting.", expected="SETTING=VALUE", found=word, cause=cause, fix=fix)


def _unknown(path: str, text: str, kind: type, groups: Mapping[str, tuple[str, ...]]) -> ConfigError:
    """The error for a setting that there is not, with those that may have been meant."""
    by_path = {setting.path: setting for setting in settings_of(kind)}
    found = closest(path, (*by_path, *groups))
    lines = [_described(by_path[one]) if one in by_path else f"{one}={'|'.join(groups[one])}" for one in found]
    group = path.partition(".")[0]
    if not lines and (same := [one for one in by_path if one.startswith(f"{group}.")]):
        lines = [", ".join(same)]
    return ConfigError(
        f"There is no setting {path}.",
        expected=("perhaps " + "; or ".join(lines)) if lines else None,
        found=f"{path}={text}",
        fix=f"{shlex.quote(f'{found[0]}={text}')}; --settings lists all" if found else "--settings lists all",
    )


def _described(setting: Setting) -> str:
    return f"{setting.path} ({setting.kind}), such as {shlex.quote(setting.example)}"
