"""Reading and writing of data."""

from mfm.io.cifti_write import CiftiSpace, cifti_space, write_scalars
from mfm.io.cleaning import Cleaning
from mfm.io.connectomes import load_connectome
from mfm.io.group_connectome import group_connectome
from mfm.io.maps import load_maps, read_map
from mfm.io.matrix_file import MatrixOptions, read_matrix
from mfm.io.region_names import read_labels
from mfm.io.subject import DataFiles, StageFiles, load_subject
from mfm.io.tables import read_fcd_cdf
from mfm.io.timeseries import TimeSeries, load_timeseries
from mfm.io.write import write_atomic, write_json, write_npy, write_tsv

__all__ = [
    "CiftiSpace",
    "Cleaning",
    "DataFiles",
    "MatrixOptions",
    "StageFiles",
    "TimeSeries",
    "cifti_space",
    "group_connectome",
    "load_connectome",
    "load_maps",
    "load_subject",
    "load_timeseries",
    "read_fcd_cdf",
    "read_labels",
    "read_map",
    "read_matrix",
    "write_atomic",
    "write_json",
    "write_npy",
    "write_scalars",
    "write_tsv",
]
