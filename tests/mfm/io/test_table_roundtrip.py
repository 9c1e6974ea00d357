"""Tables in every dialect are read back equal, or refused; never as something else without a word."""

from __future__ import annotations

import os
import re

import numpy as np
from hypothesis import HealthCheck, event, given, settings
from table_dialects import tables

from mfm.errors import InputError
from mfm.io.formats.tables import TextTable, parse_table

N_EXAMPLES = int(os.environ.get("MFMFIT_TABLE_EXAMPLES", "200"))


@settings(
    max_examples=N_EXAMPLES,
    deadline=None,
    derandomize=N_EXAMPLES == 200,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(table=tables())
def test_a_table_comes_back_equal_or_is_refused(tmp_path_factory, table):
    dialect, written = table
    path = tmp_path_factory.getbasetemp() / "table.csv"
    path.write_bytes(written.content)
    looked = TextTable().peek(path)
    try:
        read, notes = parse_table(written.content, path)
    except InputError as error:
        event(f"refused: {str(error).splitlines()[0].replace(str(path), 'x')}")
        assert looked.flaw is not None or len(written.values) > 200
        return
    event("read" if not notes else "read, with a note")
    assert looked.shape == read.values.shape
    named = {True: None, False: "frames_by_regions" if read.column_names else "regions_by_frames"}
    assert looked.orientation == named[(read.column_names is None) == (read.row_names is None)]
    told = ("three digits behind its mark", "was taken as data", "not as .* with decimal commas")
    if any(re.search(one, note) for one in told for note in notes):
        return  # both readings were told
    if dialect.header != "comment" and any("named as in its comment" in note for note in notes):
        return  # what was taken for names was told
    np.testing.assert_array_equal(read.values, written.values)
    assert read.column_names == written.columns or (read.column_names and read.column_names[1:] == written.columns)
    assert read.row_names == written.rows
