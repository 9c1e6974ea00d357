"""The models by name."""

from __future__ import annotations

from importlib import import_module

from mfm.brain.connectome import Connectome
from mfm.errors import InputError
from mfm.models.model import Model
from mfm.models.parameters import ModelParameters

#: Where each model stands: its module, and its name there. A model of your own adds a line, or calls `register`.
_HOMES = {
    "fic": "mfm.models.fic:FIC",
    "pmfm": "mfm.models.pmfm:PMFM",
}
_REGISTERED: dict[str, Model] = {}


def model_names() -> tuple[str, ...]:
    """The names of all models."""
    return (*_HOMES, *_REGISTERED)


def get_model(name: str) -> Model:
    """Return the model called `name`.

    Raises
    ------
    InputError
        If there is none.

    Examples
    --------
    >>> from mfm.models.registry import get_model
    >>> get_model("fic").state_names
    ('S_E', 'S_I')
    """
    if name in _REGISTERED:
        return _REGISTERED[name]
    if name not in _HOMES:
        raise InputError(f"There is no model {name!r}.", expected=" | ".join(model_names()), found=repr(name))
    module, _, variable = _HOMES[name].partition(":")
    return getattr(import_module(module), variable)


def register(model: Model) -> Model:
    """Make a model of your own known by its name, in this process.

    Raises
    ------
    InputError
        If a model of that name stands already in the package.
    """
    if model.name in _HOMES:
        raise InputError(f"The name {model.name!r} is taken by a model of mfmfit.", fix="give the model another name")
    _REGISTERED[model.name] = model
    return model


def model_of(p: ModelParameters) -> Model:
    """The model whose parameters `p` are.

    Raises
    ------
    InputError
        If no model has such parameters.
    """
    for name in model_names():
        model = get_model(name)
        if type(p) is model.parameters:
            return model
    raise InputError(
        "These are not the parameters of a model.",
        expected=", ".join(get_model(name).parameters.__name__ for name in model_names()),
        found=type(p).__name__,
    )


def check_same_regions(p: ModelParameters, sc: Connectome) -> None:
    """Raise an InputError unless parameters and connectome have the same number of regions."""
    if p.n_regions != sc.n_regions:
        raise InputError(
            "Parameters and connectome have different numbers of regions.",
            expected=f"{sc.n_regions} regions, as in the connectome",
            found=f"{p.n_regions} regions in the parameters",
            cause="maps and connectome of different parcellations",
        )
