"""A fit read back from its folder is the fit that was written."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import mfm
import optim
from mfm.errors import InputError, InputNote, MissingInputError, OutputError
from optim import LinearObjectiveConfig, SurrogateObjectiveConfig, load_fit
from optim.config import DelssomeConfig, FitConfig, ModelConfig
from optim.config.plain import config_from_plain
from optim.fit.protocol import fit_subject


@pytest.fixture(scope="module")
def fitted(subject):
    from optim.config import AcquisitionConfig, CMAESConfig, DataConfig, SimulationObjectiveConfig

    config = FitConfig(
        acquisition=AcquisitionConfig(tr_s=2.0),
        objective=SimulationObjectiveConfig(n_repeats=2, burn_in_s=8.0, warm_up_s=2.0, dt_test_s=0.005),
        optimizer=CMAESConfig(population=10, generations=3, initial_candidates=20),
        data=DataConfig(subject="tiny"),
    )
    config = replace(config, output=replace(config.output, figures=False))
    return fit_subject(subject, config)


def test_everything_comes_back(fitted, subject, tmp_path):
    folder = fitted.save(tmp_path)
    assert folder == tmp_path / "sub-tiny"
    saved = load_fit(folder)
    for name in ("w_EE", "w_EI", "w_IE", "sigma", "G"):
        torch.testing.assert_close(getattr(saved.completed, name), getattr(fitted.completed, name), rtol=1e-8, atol=0)
    assert saved.parameters.w_IE is None
    assert saved.labels == subject.labels
    assert np.array_equal(saved.sc.weights, subject.test.sc.weights)
    assert saved.protocol == fitted.config.objective.protocol(subject.test, "test")
    for name in ("ei_ratio", "rate_E", "S_E", "S_I"):
        torch.testing.assert_close(getattr(saved, name), getattr(fitted, name).double(), rtol=1e-6, atol=0)
    assert saved.stages == fitted.stages
    assert saved.config == replace(fitted.config, output=saved.config.output)
    assert saved.in_range == fitted.in_range
    with pytest.raises(AttributeError, match="rate_E"):
        _ = saved.rate_I
    again = mfm.simulate(saved.parameters, saved.sc, saved.protocol, 2, fitted.noise_seeds["test"])
    torch.testing.assert_close(mfm.functional_connectivity(again.bold[0]).mean(0), fitted.test.fc[0], rtol=0, atol=1e-4)


def test_a_changed_or_missing_file_is_told(fitted, tmp_path):
    folder = fitted.save(tmp_path)
    (table,) = folder.glob("*_regional.tsv")
    kept = table.read_text(encoding="utf-8")
    table.write_text(kept.replace("0.", "1.", 1), encoding="utf-8")
    with pytest.raises(InputError, match=r"(?s)regional.tsv is not what the fit wrote.*spreadsheet"):
        load_fit(folder)
    table.unlink()
    with pytest.raises(MissingInputError, match=r"regional\.tsv"):
        load_fit(folder)
    with pytest.raises(MissingInputError, match="no such folder"):
        load_fit(tmp_path / "nowhere")
    with pytest.raises(MissingInputError, match="0 such files"):
        load_fit(tmp_path)


def test_another_version_or_state_is_told(fitted, tmp_path):
    folder = fitted.save(tmp_path)
    (path,) = folder.glob("*_regional.json")
    record = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(record | {"versions": {"mfmfit": "0.0.1"}}), encoding="utf-8")
    with pytest.warns(InputNote, match=r"made by mfmfit 0\.0\.1"):
        load_fit(folder)
    for spoilt in ({"schema": 99}, {"config": record["config"] | {"modle": {}}}):
        path.write_text(json.dumps(record | spoilt), encoding="utf-8")
        with pytest.raises(InputError, match="fit anew with this version"):
            load_fit(folder)
    path.write_text("not json", encoding="utf-8")
    with pytest.raises(InputError, match="was not written by a fit"):
        load_fit(folder)
    path.write_text(json.dumps(record), encoding="utf-8")
    (folder / "status.json").write_text('{"state": "running", "fingerprint": ""}', encoding="utf-8")
    with pytest.raises(InputError, match="not finished"):
        load_fit(folder)


def test_saving_replaces_nothing_unasked(fitted, tmp_path):
    fitted.save(tmp_path)
    other = replace(fitted, fingerprint="0" * 64)
    with pytest.raises(OutputError, match="other data, settings or version"):
        other.save(tmp_path)
    assert load_fit(other.save(tmp_path, overwrite=True)).record["fingerprint"] == "0" * 64


def test_table_and_plot(fitted, subject):
    table = fitted.table()
    assert list(table) == ["region", "w_EE", "w_EI", "w_IE", "sigma", "S_E", "S_I", "r_E", "EI_ratio"]
    assert table["region"] == subject.labels
    assert table["EI_ratio"] == pytest.approx(fitted.ei_ratio.tolist())
    assert list(fitted.plot()) == ["fc", "fcd_cdf", "ei_ratio", "convergence"]
    assert {"load_fit", "save_fit", "plot_fit", "SavedFit"} <= set(optim.__all__)


@pytest.mark.parametrize(
    "config",
    [
        FitConfig(),
        FitConfig(objective=LinearObjectiveConfig(burn_in_s=72.0), model=ModelConfig(ranges={"w_EI": [1.0, 4.0]}, signs={})),
        FitConfig(objective=SurrogateObjectiveConfig(validated=None), optimizer=DelssomeConfig()),
    ],
)
def test_a_configuration_survives_json(config):
    assert config_from_plain(json.loads(json.dumps(config.as_dict()))) == config
