"""What a file is, told from its name and the folders it lies in: HCP, BIDS derivatives, micapipe, QSIRecon, or a lab's own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from mfm.io.folders.tree import TreeFile
from mfm.io.formats.entities import VERSION_ENTITIES, FileName
from mfm.io.formats.registry import regional_suffixes

TIMESERIES, FC, FCD_CDF, CONNECTOME, PARCELLATION = "timeseries", "fc", "fcd_cdf", "sc", "parcellation"

#: Words of tables that lie beside those a fit needs.
_OTHER_TABLES = frozenset(
    "length lengths meanlength edgelengths distance distances len fa gfa labels confounds motion outliers relmat reho alff "
    "coverage qc events design physio xfm".split()
)
_STAGES = {"train": "search", "search": "search", "val": "validation", "validation": "validation", "test": "test"}
_SUBJECT_WORD = re.compile(r"\d{5,}|HC[ADP]\d{7}(?:_V\d+_[A-Z]+)?")
#: Folders that say what is in them, not whose it is.
_GENERIC = re.compile(r"func|dwi|anat|surf|volumetric|connectomes|Compute_Connectivity|data|fc|fcd|sc|ses-.*|desc-.*", re.I)
_HCP_RUN = re.compile(
    r"(?P<run>[rt]fMRI_[A-Za-z0-9]+(?:_7T)?(?:_(?:LR|RL|AP|PA))?)_Atlas(?P<version>(?:_(?:1\.6mm|MSMAll|MSMSulc))*)"
    r"(?P<cleaning>(?:_(?:hp\d+(?:_clean)?|clean|rclean|tclean|vn))*)(?:[._](?P<atlas>[A-Za-z0-9].*))?"
)


@dataclass(frozen=True)
class Candidate:
    """A file that a fit could use.

    Parameters
    ----------
    file : TreeFile
    kind : {"timeseries", "fc", "fcd_cdf", "sc", "parcellation"}
    layout : str
        Which software or project lays files out like this.
    subject : str or None
        Id without ``sub-``; None where the file is of no one person.
    session, run, stage, atlas : str or None
        As far as the name tells; ``stage`` of FC and FCD files.
    version : str
        How it was processed, for people.
    rank : tuple of int
        Of several versions of one run the lowest is taken: parcellated before dense, cleaned before raw.
    joined : bool
        Several runs, one after the other, in one file.
    firm : bool
        Whether the id stands in the path as an id; else the folder's name serves for one.
    """

    file: TreeFile
    kind: str
    layout: str
    subject: str | None
    session: str | None = None
    run: str = ""
    stage: str | None = None
    atlas: str | None = None
    version: str = ""
    rank: tuple[int, ...] = ()
    joined: bool = False
    firm: bool = True

    @property
    def parcellated(self) -> bool:
        """Whether it holds regions, not vertices or voxels."""
        return self.rank[:1] == (0,)


def recognise(file: TreeFile) -> Candidate | None:
    """The role of a file in a fit; None where it has none."""
    if file.name.get("desc") == "confounds" or file.name.get("stat") not in (None, "mean"):
        return None  # tables of fMRIPrep and XCP-D that are named like series
    for rule in (_parcellation, _hcp, _micapipe, _qsirecon, _derivative, _own):
        candidate = rule(file)
        if candidate is not None:
            return candidate
    return None


def subject_of(file: TreeFile) -> tuple[str | None, bool]:
    """Id of the person whose file it is, without ``sub-``, and whether it stands there as an id."""
    if (sub := file.name.get("sub")) is not None:
        return sub, True
    folders = file.parts[:-1]
    for folder, inner in pairwise(folders):
        if inner == "MNINonLinear":
            return folder.removeprefix("sub-"), True
    for folder in reversed(folders):
        if folder.startswith("sub-") and len(folder) > 4:
            return folder.removeprefix("sub-"), True
        if _SUBJECT_WORD.fullmatch(folder):
            return folder, True
    if (lead := re.match(rf"({_SUBJECT_WORD.pattern})(?:[_.-]|$)", file.stem)) is not None:
        return lead[1], True
    return next((folder for folder in reversed(folders) if not _GENERIC.fullmatch(folder)), None), False


def folder_subject(file: TreeFile) -> str | None:
    """Id in the innermost ``sub-`` folder that holds the file."""
    return next((p.removeprefix("sub-") for p in reversed(file.parts[:-1]) if p.startswith("sub-")), None)


def _session(file: TreeFile) -> str | None:
    session = file.name.get("ses")
    return session or next((p.removeprefix("ses-") for p in reversed(file.parts[:-1]) if p.startswith("ses-")), None)


def _parcellation(file: TreeFile) -> Candidate | None:
    if file.name.extension != ".dlabel.nii":
        return None
    subject, firm = subject_of(file)
    firm = firm and ("MNINonLinear" in file.parts or file.name.get("sub") is not None)
    atlas = file.stem
    if (hcp := re.fullmatch(r"[^.]+\.(?P<atlas>.+)\.\d+k_fs_LR", file.stem)) is not None:
        atlas = hcp["atlas"]
    elif file.name.atlas:
        atlas = file.name.atlas
    return Candidate(file, PARCELLATION, "CIFTI", subject if firm else None, atlas=atlas, firm=firm)


def _hcp(file: TreeFile) -> Candidate | None:
    if file.name.extension not in (".dtseries.nii", ".ptseries.nii"):
        return None
    found = _HCP_RUN.fullmatch(file.stem)
    if found is None:
        return None
    subject, firm = subject_of(file)
    version, cleaning = found["version"].strip("_"), found["cleaning"].strip("_")
    dense = file.name.extension == ".dtseries.nii"
    # HCP's own order of preference: areal-feature alignment, the standard mesh, the most thorough cleaning.
    rank = (
        int(dense),
        int("1.6mm" in version),
        int("MSMAll" not in version),
        3 - 2 * ("rclean" in cleaning) - ("_clean" in f"_{cleaning}"),
        int("vn" in cleaning.split("_")),
    )
    return Candidate(
        file,
        TIMESERIES,
        "HCP",
        subject,
        session="7T" if "_7T" in found["run"] else "3T",
        run=found["run"],
        atlas=None if dense else found["atlas"],
        version="_".join(part for part in (version, cleaning or "not cleaned") if part),
        rank=rank,
        joined=re.fullmatch(r"rfMRI_REST(_7T)?", found["run"]) is not None,
        firm=firm,
    )


def _micapipe(file: TreeFile) -> Candidate | None:
    name = file.name
    if name.extension == ".shape.gii" and name.get("sub") is not None:
        subject, firm = subject_of(file)
        if name.suffix == "full-connectome":
            return Candidate(
                *(file, CONNECTOME, "micapipe", subject, _session(file)),
                atlas=name.atlas,
                version=name.get("desc") or "",
                firm=firm,
            )
        if name.get("desc") == "timeseries" and name.suffix == "clean":
            # The acquisition stands in a folder of its own: func/desc-<acquisition>/surf.
            run = next((p for p in reversed(file.parts[:-1]) if p.startswith("desc-")), "")
            return Candidate(
                *(file, TIMESERIES, "micapipe", subject, _session(file)),
                run=name.run or run.removeprefix("desc-"),
                version=name.get("surf") or "",
                rank=(1, int(name.get("surf") != "fsLR-32k")),
                firm=firm,
            )
    return None


def _qsirecon(file: TreeFile) -> Candidate | None:
    if file.name.extension != ".mat" or file.name.suffix != "connectivity" or file.name.get("sub") is None:
        return None
    subject, firm = subject_of(file)
    return Candidate(file, CONNECTOME, "QSIRecon", subject, _session(file), version=file.parts[-1], firm=firm)


def _derivative(file: TreeFile) -> Candidate | None:
    """BOLD series of XCP-D and fMRIPrep, and of what is named like them."""
    name = file.name
    if name.get("sub") is None:
        return None
    subject, firm = subject_of(file)
    space = name.get("space") or ""
    parcellated = name.suffix == "timeseries" and name.extension in (".tsv", ".ptseries.nii", ".csv")
    volume = name.suffix == "bold" and name.extension == ".nii.gz"
    dense = name.suffix == "bold" and name.extension == ".dtseries.nii"
    if not (parcellated or dense or volume):
        return None
    if volume and not (space or name.get("desc")):
        return None  # raw data, before any preprocessing
    desc = name.get("desc") or ""
    denoised = desc.startswith("denoised") or parcellated
    layout = "XCP-D" if desc.startswith("denoised") or (parcellated and name.atlas and space) else "fMRIPrep"
    # One of several spaces is taken: the surface first, and unsmoothed before smoothed; echoes combined before a single one.
    rank = (
        int(not parcellated) + volume,
        int(not denoised),
        int("mooth" in desc),
        int(space != "fsLR"),
        int(name.get("echo") is not None),
    )
    return Candidate(
        file,
        TIMESERIES,
        "tables" if parcellated and layout == "fMRIPrep" else layout,
        subject,
        _session(file),
        run=name.run,
        atlas=name.atlas,
        version=_version(name),
        rank=rank,
        firm=firm,
    )


def _own(file: TreeFile) -> Candidate | None:
    """Tables as labs name them: SC.csv, run-1_timeseries.tsv, train_FC.csv with train_FCD_CDF.csv."""
    name = file.name
    if name.extension not in regional_suffixes():
        return None
    kind = _kind_of_words(file)
    if kind is None:
        return None
    subject, firm = subject_of(file)
    stage = next((_STAGES[word] for word in _words(file.stem) if word in _STAGES), None)
    run = name.run if name.get("run") else _run_of_words(file, subject)
    return Candidate(
        *(file, kind, "connectoflow" if "Compute_Connectivity" in file.parts else "tables", subject, _session(file)),
        run=run if kind == TIMESERIES else "",
        stage=stage if kind in (FC, FCD_CDF) else None,
        atlas=name.atlas,
        version=file.parts[-1] if kind == CONNECTOME else _version(name),
        rank=(0, int(name.get("echo") is not None)),
        firm=firm,
    )


def _version(name: FileName) -> str:
    """What was made of a scan, for people: its space and way of cleaning, and what else its name tells."""
    told = [
        name.get("space"),
        name.get("desc"),
        *(f"{key}-{name.get(key)}" for key in ("res", "rec", "echo", "part") if name.get(key)),
    ]
    return "_".join(part for part in told if part)


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[^a-z0-9]+", text.lower()) if word]


def _kind_of_words(file: TreeFile) -> str | None:
    words = set(_words(" ".join(file.name.words)))
    if words & _OTHER_TABLES:
        return None
    if words & {"fcd", "fcdcdf"}:
        return FCD_CDF if words & {"cdf", "fcdcdf"} else None
    if "fc" in words:
        return FC
    if words & {"sc", "connectome", "connectomes", "streamlines", "strucmatrix"}:
        return CONNECTOME
    if any(re.fullmatch(r"timeseries|timecourses?|ts|tc|bold|rs?fmri|rest\d?", word) for word in words):
        return TIMESERIES
    # A name that ends with the run, as sub-01_task-rest_run-1.csv, has no suffix to tell more.
    return TIMESERIES if file.name.get("run") and not words else None


def _run_of_words(file: TreeFile, subject: str | None) -> str:
    """The name without its id, so that it tells one run of a person from another."""
    stem = "_".join(part for part in file.stem.split("_") if part.partition("-")[0] not in VERSION_ENTITIES or "-" not in part)
    for lead in (f"sub-{subject}", f"{subject}"):
        stem = stem.removeprefix(lead)
    return stem.strip("_-. ") or "run"
