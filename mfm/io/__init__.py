"""Reading and writing of data."""

from mfm.io.folders import Choices, Inventory, inspect_folder
from mfm.io.folders.manifest import ManifestRow, read_manifest, write_manifest
from mfm.io.folders.to_subject import SubjectFiles, rows_of, subject_files
from mfm.io.formats.cifti_write import CiftiSpace, cifti_space, write_scalars
from mfm.io.formats.write import write_atomic, write_json, write_npy, write_tsv
from mfm.io.readers.cleaning import Cleaning
from mfm.io.readers.connectomes import load_connectome
from mfm.io.readers.fcd_file import read_fcd_cdf
from mfm.io.readers.group_connectome import group_connectome
from mfm.io.readers.maps import load_maps, read_map
from mfm.io.readers.matrix_file import MatrixOptions, read_matrix
from mfm.io.readers.region_names import read_labels
from mfm.io.readers.timeseries import TimeSeries, load_timeseries
from mfm.io.subject.files import DataFiles, ObservationSettings, StageFiles
from mfm.io.subject.load import load_subject

__all__ = [
    "Choices",
    "CiftiSpace",
    "Cleaning",
    "DataFiles",
    "Inventory",
    "ManifestRow",
    "MatrixOptions",
    "ObservationSettings",
    "StageFiles",
    "SubjectFiles",
    "TimeSeries",
    "cifti_space",
    "group_connectome",
    "inspect_folder",
    "load_connectome",
    "load_maps",
    "load_subject",
    "load_timeseries",
    "read_fcd_cdf",
    "read_labels",
    "read_manifest",
    "read_map",
    "read_matrix",
    "rows_of",
    "subject_files",
    "write_atomic",
    "write_json",
    "write_manifest",
    "write_npy",
    "write_scalars",
    "write_tsv",
]
