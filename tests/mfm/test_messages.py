"""Messages of the library name arguments of functions; only the command line knows settings."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import mfm

ROOT = Path(mfm.__file__).parent
SETTING = re.compile(r"(?<![\w.])(data|acquisition|model|atlas|objective|optimizer|output|refine)\.[A-Za-z_]\w*")
# Names of Python's, and of torch modules, that look like settings.
ALLOWED = {"model.residuals"}


def strings(tree: ast.AST):
    """String constants that are no docstrings, parts of f-strings among them."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node


def settings_named_in(source: str) -> list[str]:
    found = []
    for node in strings(ast.parse(source)):
        found += [f"{node.lineno}: {m[0]}" for m in SETTING.finditer(node.value) if m[0] not in ALLOWED]
    return found


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_message_names_a_setting(path):
    assert settings_named_in(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source", ['fix = "data.sc=FILE"', 'fix = f"leave acquisition.tr_s out of {x}"', "raise E(f'{a}: model.w_EI_signs={{}}')"]
)
def test_a_setting_is_found(source):
    assert settings_named_in(source)


@pytest.mark.parametrize("source", ['"""data.sc is a setting."""', "fix = '`sc=\"FILE\"`'", "x = data.sc", 'a = "metadata.sc"'])
def test_arguments_and_attributes_are_none(source):
    assert settings_named_in(source) == []


def test_what_is_to_be_typed_is_python():
    """Between backquotes stands a name, or arguments as a call has them, so that the command line can say them its way."""
    for path in ROOT.rglob("*.py"):
        for node in strings(ast.parse(path.read_text(encoding="utf-8"))):
            if node.value.count("`") % 2 == 0:  # else a value of an f-string stands between the backquotes
                for code in re.findall(r"`([^`\n]+)`", node.value):
                    call = ast.parse(f"_({code})", mode="eval").body
                    assert isinstance(call, ast.Call)
                    assert all(isinstance(argument, ast.Name) for argument in call.args), code
