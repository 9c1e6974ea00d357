"""What the library says of its arguments, said as settings."""

import shlex
from dataclasses import dataclass, field, fields, is_dataclass

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import QuotedString
from hypothesis import given, settings
from hypothesis import strategies as st
from repository import CONF

from optim.cli.messages import as_settings, fit_settings, setting_paths
from optim.cli.settings import compose
from optim.config.fit import DataConfig
from optim.config.refine import RefineConfig
from optim.config.ude import UDEConfig
from surrogate.corpus.config import CorpusConfig


@pytest.mark.parametrize(
    ("said", "typed"),
    [
        ('`sc_transform="log1p"`', "data.sc_transform=log1p"),
        ('`transform="none"`', "data.sc_transform=none"),
        ("`scale_max=None`", "data.sc_scale_max=null"),
        ("`tr_s=0.72`", "acquisition.tr_s=0.72"),
        ("`tr_s = 0.72`", "acquisition.tr_s=0.72"),
        ("`tr_s=SECONDS`", "acquisition.tr_s=SECONDS"),
        ("`tr_s=0.72, n_frames=1200`", "acquisition.tr_s=0.72 acquisition.n_frames=1200"),
        ("`labels`", "atlas.labels"),
        ('`atlas="4S156"`', "data.sc_file.atlas=4S156"),
        ("`drop_unassigned=True`", "data.sc_file.drop_unassigned=true"),
        ('`timeseries=["a.tsv", "b.tsv"]`', "'data.timeseries=[a.tsv,b.tsv]'"),
        ("`run_frames=(1200, 1200)`", "'data.run_frames=[1200,1200]'"),
        ("`timeseries=[RUN1, RUN2]`", "'data.timeseries=[RUN1,RUN2]'"),
        ('`subject="000123"`', "'data.subject=\"000123\"'"),
        ('`maps={"myelin": "my elin.csv"}`', "'data.maps={myelin: \"my elin.csv\"}'"),
        (
            "`cleaning=Cleaning(detrend=True, high_pass_hz=0.008)`",
            "data.cleaning.detrend=true data.cleaning.high_pass_hz=0.008",
        ),
        ("`search=StageFiles(fc=FILE, fcd_cdf=FILE)`", "data.search.fc=FILE data.search.fcd_cdf=FILE"),
        ('`backend="numba"`', "objective.backend=numba"),
        ("`seed=-1`", "optimizer.seed=-1"),
    ],
)
def test_arguments_become_settings(said, typed):
    assert as_settings(f"fix: {said}, and all is well") == f"fix: {typed}, and all is well"


@pytest.mark.parametrize(
    "text",
    [
        "`load_connectome`",
        "`mfm.load_connectome`",
        "`load_connectome(path)`",
        "`nothing=1`",
        "`tr_s=1, nothing=2`",
        "`tr_s=1 + 1`",
        "`tr_s == 1`",
        "`data.tr_s=1`",
        "`name`",
        "`a b`",
        "`**tr_s`",
        "``tr_s``",
        "tr_s=0.72, without backquotes",
        "`maps={1: 2}`",
        "`)(`",
    ],
)
def test_what_is_no_known_argument_stays(text):
    assert as_settings(text) == text


def test_options_take_their_value_as_the_next_word():
    names = {"tr_s": "--tr", "sc": "--sc", "out": "--out"}
    assert as_settings('`tr_s=SECONDS`, `sc="my file.csv"`, `out`', lambda: names) == "--tr SECONDS, --sc 'my file.csv', --out"


def test_names_are_looked_up_only_where_something_is_quoted():
    assert as_settings("nothing", lambda: 1 / 0) == "nothing"


texts = st.text(st.characters(exclude_characters="`$", exclude_categories=["Cc", "Cs", "Zl", "Zp"]))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@given(value=values)
@settings(deadline=None)
def test_a_shell_and_hydra_read_the_value_that_was_said(value):
    (word,) = shlex.split(as_settings(f"`timeseries={value!r}`"))
    read = OverridesParser.create().parse_override(word).value()
    assert repr(unquoted(read)) == repr(value)


def unquoted(value):
    if isinstance(value, list):
        return [unquoted(part) for part in value]
    return value.text if isinstance(value, QuotedString) else value


def at(config, path):
    """What a configuration holds at a dotted path; a LookupError where this choice has no such setting."""
    for name in path.split("."):
        if not hasattr(config, name):
            raise LookupError(path)
        config = getattr(config, name)
    return config


CHOICES = [
    [f"{file.parent.name}={file.stem}", *(["objective=linear"] if file.stem == "gradient" else [])]
    for group in ("model", "objective", "optimizer")
    for file in sorted((CONF / group).glob("*.yaml"))
]


def test_every_setting_that_a_name_becomes_is_one_that_a_fit_takes():
    """Of every choice of every group, each value is said as the library would, and set as it is then typed."""
    accepted = set()
    for choice in CHOICES:
        config, words = compose(choice), []
        for name, path in fit_settings().items():
            try:
                value = at(config, path)
            except LookupError:
                continue
            accepted.add(path)
            if not is_dataclass(value):
                words += shlex.split(as_settings(f"`{name}={value!r}`"))
        assert compose([*choice, *words]) == config
    assert accepted == set(fit_settings().values())


_ALIKE = ("cleaning", "observation")


def test_every_setting_of_the_data_has_a_name():
    def paths(kind, prefix):
        for f in fields(kind):
            yield from paths(f.default_factory, f"{prefix}{f.name}.") if is_dataclass(f.default_factory) else [prefix + f.name]

    by_stage = {f"data.{stage}.{name}" for stage in ("validation", "test") for name in ("fc", "fcd_cdf", "sc")}
    # A connectome of one stage only, and names that several files have, are for the reader to tell apart.
    unnamed = by_stage | {"data.search.sc", "data.sc_file.labels"}
    # Done to the recording, or to the simulated scan too: the group must be said.
    both = [{path.rpartition(".")[2] for path in paths(DataConfig, "data.") if f".{group}." in path} for group in _ALIKE]
    unnamed |= {f"data.{group}.{name}" for group in _ALIKE for name in both[0] & both[1]}
    assert set(paths(DataConfig, "data.")) - unnamed <= set(fit_settings().values())


@dataclass(frozen=True)
class Inner:
    depth: int = 1
    shared: int = 1


@dataclass(frozen=True)
class One:
    size: int = 1
    shared: int = 1
    inner: Inner = field(default_factory=Inner)


@dataclass(frozen=True)
class Other:
    length: int | None = None
    shared: int = 1


@dataclass(frozen=True)
class Choices:
    top: float = 0.0
    first: One | Other | None = None
    rest: Other = field(default_factory=Other)


def test_paths_of_a_choice_between_classes():
    paths = setting_paths(Choices)
    assert paths == {"top": "top", "size": "first.size", "inner": "first.inner", "depth": "first.inner.depth"}


@pytest.mark.parametrize(
    ("kind", "said", "typed"),
    [
        (CorpusConfig, "`tr_s=[0.72, 2.0]`, `table=FILE`", "'tr_s=[0.72,2.0]', connectomes.table=FILE"),
        (
            UDEConfig,
            "`dt=0.1`, `gain=10`, `target`, `segment=None`",
            "data.dt=0.1, `gain=10`, residual.target, loss.segment=null",
        ),
        (RefineConfig, '`terms=["thickness x"]`', "'terms=[\"thickness x\"]'"),
    ],
)
def test_other_commands_have_other_settings(kind, said, typed):
    assert as_settings(said, lambda: setting_paths(kind)) == typed
