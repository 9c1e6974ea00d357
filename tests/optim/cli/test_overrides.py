"""Words of the command line: text stays as it stands, what cannot be meant is told with what to type."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfm.errors import ConfigError
from optim.cli.listing import listing
from optim.cli.messages import as_word
from optim.cli.overrides import read_word, value_of
from optim.cli.schema import settings_of
from optim.cli.settings import compose, config_groups, default_values
from optim.cli.sweep import job_name, jobs_of
from optim.config.fit import FitConfig

TEXTS = (
    "2024_11_27 1e3 12.50 000123 0x10 true nan ~/x a=b a,b {x} [x] (x) a:b a$b a;b a|b *.csv x'y #1 %3A @a !x Größe/ü C:\\x"
).split()


@pytest.mark.parametrize("text", [*TEXTS, "a b", "  a", "a, b=[c]"])
@pytest.mark.parametrize("setting", ["output.folder", "data.sc", "data.sc_file.labels", "data.maps.X", "data.session"])
def test_text_stays_as_it_stands(setting, text):
    config = compose([f"{setting}={text}"])
    group, _, name = setting.partition(".")
    value = getattr(config, group)
    for part in name.split("."):
        value = value[part] if isinstance(value, dict) else getattr(value, part)
    assert value == text


def test_text_in_lists_and_mappings():
    config = compose(["data.exclude_regions=[2_001,1e3, x y ,'a,b']", 'data.maps={a: 2024_01_01, b: "x,y: {z}.csv"}'])
    assert config.data.exclude_regions == ["2_001", "1e3", "x y", "a,b"]
    assert config.data.maps == {"a": "2024_01_01", "b": "x,y: {z}.csv"}
    assert compose(["data.cleaning={strategy: [motion], high_pass_hz: 0.01}"]).data.cleaning.high_pass_hz == 0.01


def test_null_is_none_where_there_may_be_none():
    assert compose(["data.session=null"]).data.session is None
    assert compose(["data.subject=null"]).data.subject == "null"


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(lambda t: "${" not in t and t != "???"))
def test_a_suggested_word_survives_shell_and_hydra(text):
    (word,) = shlex.split(as_word("output.folder", text))
    assert value_of(read_word(word, FitConfig, {}), FitConfig) == text


def test_interpolations_are_of_settings_only():
    assert compose(["output.folder=x/${data.subject}", "data.subject=007"]).output.folder == "x/007"
    assert compose(["output.folder=x/\\${HOME}"]).output.folder == "x/${HOME}"
    with pytest.raises(ConfigError, match=r"\$\{HOME\}, which nothing fills in(.|\n)*single quotes"):
        compose(["output.folder=${HOME}/x"])


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("data.timeseries=a.tsv,b.tsv", r"is a list(.|\n)*fix: 'data.timeseries=\[a.tsv,b.tsv\]'"),
        ("data.timeseries=a.tsv", r"is a list(.|\n)*fix: 'data.timeseries=\[a.tsv\]'"),
        ("data.timeseries=[a.tsv,", "not closed(.|\n)*a space"),
        ("b.tsv]", "no setting(.|\n)*a space in a list"),
        ("data.maps=a:x.csv", r"is a mapping(.|\n)*'data.maps=\{a:x.csv\}'"),
        ("data.maps={a}", "every value has a name"),
        ("data.maps={a: 'x}", "cannot be read"),
        ("optimizer.seed=1,2", "several values(.|\n)*mfmfit fit -m optimizer.seed=1,2"),
        ("optimizer.seed=abc", "whole number, such as optimizer.seed=1"),
        ("optimizer.seed=(1", "optimizer.seed cannot be read(.|\n)*whole number"),
        ("output.figures=maybe", "true or false, such as output.figures=true"),
        ("data.run_frames=[1200,x]", "list of whole number"),
        (
            "optimizer.generatons=3",
            "optimizer.generations .whole number., such as(.|\n)*fix: optimizer.generations=3",
        ),
        ("seed=1", "perhaps optimizer.seed"),
        ("tr=0.72", "acquisition.tr_s=0.72"),
        ("zzzzz=1", "--settings lists all"),
        ("atlas=dk86", "fix: atlas=dk68"),
        ("optimizer.seed", "spaces around the equals sign"),
        ("optimizer.seed:1", "colon(.|\n)*fix: optimizer.seed=1"),
        ("run-1.tsv", "a space, at which the shell"),
        ("data.sc=", "variable of the shell that is empty"),
        ("hydra.run.dir=x", "Hydra itself"),
        ("~data.maps", "data.maps=null"),
    ],
)
def test_what_cannot_be_meant_is_told_with_what_to_type(word, said):
    with pytest.raises(ConfigError, match=said):
        compose([word])


def test_every_setting_has_a_type_and_a_meaning_and_an_example_that_is_taken():
    for setting in settings_of(FitConfig):
        assert setting.meaning, setting.path
        choice = {"surrogate": "objective=surrogate", "linear": "objective=linear"}
        of = [choice[kind] for kind in choice if setting.of and kind in setting.of[-1].lower() and len(setting.of) == 1]
        free = "TEXT" not in setting.example and "NAME" not in setting.example
        if free and setting.path not in ("objective.search", "optimizer.name"):
            assert compose([*of, setting.example]) is not None


def test_all_settings_are_listed_with_the_default_of_the_command_line():
    text = listing(FitConfig, config_groups("fit"), default_values("fit"))
    assert all(f"  {setting.path}=" in text for setting in settings_of(FitConfig))
    assert "data.subject=auto  (text)" in text
    assert "objective=linear | simulation" in text


def test_jobs_are_named_by_what_differs_whatever_the_order():
    one = {
        job.name for job in jobs_of(["optimizer.seed=1,2", "objective=linear,simulation", "output.folder=x"], "fit", FitConfig)
    }
    other = {job.name for job in jobs_of(["objective=simulation,linear", "optimizer.seed=2,1,2"], "fit", FitConfig)}
    assert one == other == {f"objective={o},optimizer.seed={s}" for o in ("linear", "simulation") for s in (1, 2)}


def test_jobs_of_texts_lists_and_functions():
    def names(*words):
        return [job.name for job in jobs_of(words, "fit", FitConfig)]

    assert names("data.subject=01,02") == ["data.subject=01", "data.subject=02"]
    assert names("optimizer.seed=range(1,4)") == [f"optimizer.seed={k}" for k in (1, 2, 3)]
    assert len(names("data.timeseries=[a,b],[c]")) == len(set(names("data.sc='a,b',c"))) == 2
    assert len(set(names("data.sc=a/b,a b"))) == 2
    assert len(job_name({"data.sc": "x" * 500})) < 200
    with pytest.raises(ConfigError, match="several values"):
        names("optimizer.seed=1")
