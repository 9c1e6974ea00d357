"""A subject's data from its files."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

from mfm.brain.connectome import Connectome
from mfm.errors import ConfigError, InputNote
from mfm.io.subject.assemble import assemble
from mfm.io.subject.exclude import without_excluded
from mfm.io.subject.files import DataFiles, StageFiles
from mfm.io.subject.names import join_names
from mfm.io.subject.notes import notes_on_subject
from mfm.io.subject.read import read_inputs
from mfm.io.subject.regions import check_regions_agree
from mfm.io.subject.runs import common_tr
from mfm.protocol import check_timing
from mfm.subject import STAGES, SubjectData


def load_subject(
    files: DataFiles,
    tr_s: float | None = None,
    n_frames: int | None = None,
    labels: str | Path | None = None,
    *,
    sc: Connectome | None = None,
) -> SubjectData:
    """Read and validate everything that `files` names.

    Parameters
    ----------
    files : DataFiles
    tr_s : float, optional
        Repetition time of the scans, seconds. May be left out where the time series tell it, and is checked against them.
    n_frames : int, optional
        Frames of a scan: required with FC and FCD files; with time series, checked against them where given.
    labels : path or list name, optional
        Region names (`read_labels`); inputs that hold names are brought to their order.
    sc : Connectome, optional
        In place of ``files.sc``: one for a whole cohort, read once and shared by all its members.

    Returns
    -------
    SubjectData

    Raises
    ------
    ConfigError
        If settings are missing or contradict each other.
    MissingInputError
        If a file is not there.
    InputError
        If a file cannot be read or used, or the inputs do not fit each other.

    Warns
    -----
    InputNote
        For what was done to an input that was accepted but should be known. The result's ``notes`` hold these, and what the
        inputs together show; a fit keeps them.

    Examples
    --------
    >>> import mfm, numpy as np, tempfile
    >>> from mfm.io import DataFiles
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sc, run = f"{folder}/sc.csv", f"{folder}/run.npy"
    ...     np.savetxt(sc, 100 * (1 - np.eye(3)), delimiter=",")
    ...     np.save(run, np.random.default_rng(0).normal(size=(120, 3)))
    ...     subject = mfm.load_subject(DataFiles(subject="sub-01", sc=sc, timeseries=[run]), tr_s=2.0)
    >>> subject.n_regions, subject.search.n_frames
    (3, 60)
    """
    _check_settings(files, sc)
    check_timing(1.0 if tr_s is None else tr_s, 1 if n_frames is None else n_frames)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", InputNote)
        as_read = read_inputs(files, tr_s, n_frames, labels, sc)
        raw = without_excluded(as_read, files.exclude_regions)
        names = join_names(raw)
        check_regions_agree(raw, names, files.orientation)
        subject = assemble(files, raw, names, common_tr(tr_s, raw.runs, n_frames), n_frames, sc)
    notes = dict.fromkeys(str(w.message) for w in caught if issubclass(w.category, InputNote))
    for w in caught:
        warnings.warn(w.message, w.category, stacklevel=2)
    told = notes_on_subject(subject, as_read.names_by_input(), None if labels is None else str(labels))
    return replace(subject, notes=(*subject.notes, *told, *notes))


def _check_settings(files: DataFiles, sc: Connectome | None) -> None:
    """Raise a ConfigError for settings that are missing or contradict each other."""
    if files.gradient_fc is not None and "gradient" in (files.maps or {}):
        raise ConfigError(
            "The map 'gradient' is given, and asked to be computed.", fix="leave it out of `maps`, or leave out `gradient_fc`"
        )
    if files.sc is None and sc is None:
        raise ConfigError("No structural connectome was given.", fix='`sc="PATH"`')
    given = [stage for stage in STAGES if getattr(files, stage) != StageFiles()]
    if bool(files.timeseries) == bool(given):
        raise ConfigError(
            "A subject needs either time series or FC and FCD files.",
            found=f"time series and {', '.join(given)} files" if given else "neither",
            fix='`timeseries=["RUN1","RUN2"]` or `search=StageFiles(fc="FILE", fcd_cdf="FILE")`',
        )
    for stage in given or ():
        stage_files: StageFiles = getattr(files, stage)
        if stage_files.fc is None or stage_files.fcd_cdf is None:
            fix = f'`{stage}=StageFiles(fc="FILE", fcd_cdf="FILE")`'
            raise ConfigError(f"The {stage} data need both FC and FCD.", fix=fix)
    if given and "search" not in given:
        raise ConfigError("There are no data to search on.", fix='`search=StageFiles(fc="FILE", fcd_cdf="FILE")`')
