"""File names: what they say does not depend on the order of their entities."""

from hypothesis import given
from hypothesis import strategies as st

from mfm.io.formats.entities import parse_name

KEYS = ("ses", "task", "acq", "dir", "run", "space", "den", "res", "atlas", "seg", "stat", "desc", "hemi")
LABELS = st.text("abcXYZ0123456789", min_size=1, max_size=6)
ENTITIES = st.dictionaries(st.sampled_from(KEYS), LABELS, max_size=6).map(lambda found: {"sub": "01", **found})
SUFFIXES = st.sampled_from(
    [("timeseries", ".ptseries.nii"), ("timeseries", ".tsv"), ("bold", ".nii.gz"), ("connectivity", ".mat")]
)


@given(entities=ENTITIES, suffix=SUFFIXES, data=st.data())
def test_the_order_of_entities_does_not_matter(entities, suffix, data):
    word, extension = suffix
    order = data.draw(st.permutations(list(entities.items())))
    name = parse_name("_".join([*(f"{key}-{value}" for key, value in order), word]) + extension)
    in_order = parse_name("_".join([*(f"{key}-{value}" for key, value in entities.items()), word]) + extension)
    assert name == in_order
    assert name.run == in_order.run
    assert (name.suffix, name.extension) == suffix
    assert all(name.get(key) == value for key, value in entities.items())


@given(subject=st.text("0123456789", min_size=1, max_size=8))
def test_ids_stay_text(subject):
    assert parse_name(f"sub-{subject}_task-rest_bold.nii.gz").get("sub") == subject


def test_values_and_words_with_hyphens():
    name = parse_name("sub-HC001_ses-01_surf-fsLR-32k_desc-timeseries_clean.shape.gii")
    assert (name.get("surf"), name.get("desc"), name.suffix) == ("fsLR-32k", "timeseries", "clean")
    name = parse_name("sub-HC001_ses-01_space-dwi_atlas-schaefer-100_desc-iFOD2-10M-SIFT2_full-connectome.shape.gii")
    assert (name.atlas, name.get("desc"), name.suffix) == ("schaefer-100", "iFOD2-10M-SIFT2", "full-connectome")


def test_names_without_entities():
    assert parse_name("SC.csv").words == ("SC",)
    assert parse_name("rest-run-1.tsv").words == ("rest-run-1",)
    assert parse_name("sub-01_run-2.csv").suffix == ""
    assert parse_name("README").extension == ""
    assert parse_name("sub-01_seg-Glasser_timeseries.tsv").atlas == "Glasser"
