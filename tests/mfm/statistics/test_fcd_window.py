"""FCD's windows last 60 s because the repetition time says how many frames that is."""

import numpy as np
import pytest
import torch

import mfm
from mfm.errors import InputError
from mfm.statistics.soft_fcd import soft_fcd_cdf

RUN = torch.as_tensor(np.random.default_rng(0).normal(size=(240, 4)).cumsum(axis=0))


def test_the_repetition_time_tells_the_window():
    for tr_s, frames in ((0.72, 83), (2.0, 30), (0.8, 75)):
        assert torch.equal(mfm.fcd_cdf(RUN, tr_s=tr_s), mfm.fcd_cdf(RUN, frames))


def test_a_window_is_never_guessed():
    with pytest.raises(InputError, match=r"(?s)not told.*`tr_s=0.72`.*`window_frames="):
        mfm.fcd_cdf(RUN)
    with pytest.raises(InputError, match="told twice"):
        mfm.fcd_cdf(RUN, 83, tr_s=0.72)
    with pytest.raises(InputError, match="milliseconds"):
        mfm.fcd_cdf(RUN, tr_s=2000)
    with pytest.raises(TypeError, match="window_frames"):
        soft_fcd_cdf(RUN[None])
