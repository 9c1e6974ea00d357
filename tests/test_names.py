"""One word, one meaning: no two public classes or functions of the packages share a name."""

import ast
from collections import defaultdict
from pathlib import Path

from repository import ROOT

# Hooks of a protocol: the files of a folder define the same names on purpose, and nobody else does.
HOOKS = {
    "optim/cli": {"add", "run", "main"},
    "mfm/models": {"bold_signal", "pack", "drift", "decay", "rest", "complete"},
    "mfm/io/formats": {"sniff", "peek", "read"},
    "mfm/simulation": {"obstacle", "run", "drift", "decay", "neural_step", "bold_signal"},
}

# One function in several languages: torch and numpy, numba's vectors, Triton.
TRANSLATIONS = {"exp", "log", "sqrt", "tanh", "phi", "phi_slope", "gaussian_pair", "philox"}


def public_names(root: Path) -> dict[str, set[str]]:
    """The modules that define each public top-level class or function below `root`, by name."""
    found = defaultdict(set)
    for package in ("mfm", "surrogate", "optim"):
        for path in (root / package).rglob("*.py"):
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
                    found[node.name].add(path.relative_to(root).as_posix())
    return found


def is_hook(name: str, modules: set[str]) -> bool:
    homes = [f"{folder}/" for folder, names in HOOKS.items() if name in names]
    return all(any(module.startswith(home) for home in homes) for module in modules)


def test_no_two_public_things_share_a_name():
    shared = {
        name: sorted(modules)
        for name, modules in public_names(ROOT).items()
        if len(modules) > 1 and name not in TRANSLATIONS and not is_hook(name, modules)
    }
    assert not shared, "\n".join(f"{name}: {', '.join(modules)}" for name, modules in sorted(shared.items()))


def test_a_shared_name_is_found(tmp_path):
    for package, body in (("mfm", "class Problem: ..."), ("optim", "def Problem(): ..."), ("surrogate", "def _Problem(): ...")):
        (tmp_path / package).mkdir()
        (tmp_path / package / "file.py").write_text(body)
    assert public_names(tmp_path) == {"Problem": {"mfm/file.py", "optim/file.py"}}
    assert is_hook("drift", {"mfm/models/fic.py", "mfm/models/pmfm.py"})
    assert not is_hook("drift", {"mfm/models/fic.py", "mfm/ude/equations/fic_mechanism.py"})
