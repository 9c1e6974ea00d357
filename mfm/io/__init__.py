"""Reading and writing of data."""

from mfm.io.connectomes import load_connectome
from mfm.io.folders import Choices, Inventory, inspect_folder
from mfm.io.found import SubjectFiles, rows_of, subject_files
from mfm.io.manifest import ManifestRow, read_manifest, write_manifest
from mfm.io.subject import DataFiles, StageFiles, load_subject
from mfm.io.tables import read_fcd_cdf, read_labels, read_map, read_matrix, read_timeseries
from mfm.io.write import write_atomic, write_json, write_npy, write_tsv

__all__ = [
    "Choices",
    "DataFiles",
    "Inventory",
    "ManifestRow",
    "StageFiles",
    "SubjectFiles",
    "inspect_folder",
    "load_connectome",
    "load_subject",
    "read_fcd_cdf",
    "read_labels",
    "read_manifest",
    "read_map",
    "read_matrix",
    "read_timeseries",
    "rows_of",
    "subject_files",
    "write_atomic",
    "write_json",
    "write_manifest",
    "write_npy",
    "write_tsv",
]
