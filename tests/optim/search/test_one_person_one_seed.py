"""A person's id with and without ``sub-`` is one person: folder, noise and fingerprint."""

from dataclasses import replace

from optim.fit.stages import Stages
from optim.report.folder import FitFolder
from optim.search.seeds import stream


def test_both_spellings_of_an_id_have_the_same_noise_folder_and_fingerprint(subject, config):
    assert stream(1, "016", "test").spawn_key == stream(1, "sub-016", "test").spawn_key
    assert stream(1, "016", "test").spawn_key != stream(1, "017", "test").spawn_key
    of_both = []
    for name in ("016", "sub-016"):
        own = replace(config, data=replace(config.data, subject=name))
        stages = Stages(replace(subject, subject_id=name), own)
        of_both.append((stages.keys("test"), stages.fingerprint, FitFolder(own).path, FitFolder(own).stem))
    assert of_both[0] == of_both[1]
