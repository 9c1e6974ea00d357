"""Checkpoints: plain types, whole or not at all, and only of the work that they belong to."""

import json
import math
import pickletools

import numpy as np
import pytest
from safetensors import safe_open

from mfm.errors import OutputError
from optim.search.checkpoint import Checkpoint


@pytest.fixture
def checkpoint(tmp_path):
    return Checkpoint(tmp_path / "part.safetensors", belongs_to="a" * 64)


def test_plain_types_come_back_bit_equal(checkpoint):
    generator = np.random.default_rng(3)
    state = {
        "points": [generator.normal(size=(2, 3)), np.zeros((0, 4)), np.array([True, False]), np.array(0.1)],
        "generator": generator.bit_generator.state,
        "numbers": [1, 0.1 + 0.2, math.inf, -math.inf, math.nan, None, True, 2**63 + 1],
        "nested": {"name": "x", "pair": (1, 2)},
        "strided": np.arange(10.0)[::2],
    }
    checkpoint.save(state)
    found = checkpoint.load()
    for there, here in zip(found["points"], state["points"], strict=True):
        assert there.dtype == here.dtype
        np.testing.assert_array_equal(there, here)
    np.testing.assert_array_equal(found["strided"], [0, 2, 4, 6, 8])
    assert repr(found["numbers"]) == repr(state["numbers"])
    assert found["nested"] == {"name": "x", "pair": [1, 2]}
    again = np.random.default_rng(0)
    again.bit_generator.state = found["generator"]
    assert again.normal() == generator.normal()


def test_a_checkpoint_can_be_read_without_our_code_and_holds_no_pickle(checkpoint):
    checkpoint.save({"step": 3, "x": np.arange(3)})
    with safe_open(checkpoint.path, framework="numpy") as file:
        content = json.loads(file.metadata()["content"])
        assert content["step"] == 3
        assert file.get_tensor(content["x"]["$array"]).tolist() == [0, 1, 2]
    with pytest.raises(ValueError):
        list(pickletools.genops(checkpoint.path.read_bytes()))


def test_a_checkpoint_of_another_fit_is_refused(checkpoint, tmp_path):
    checkpoint.save([1])
    other = Checkpoint(checkpoint.path, belongs_to="b" * 64)
    with pytest.raises(
        OutputError, match=r"of other data, settings or version(.|\n)*bbbbbbbbbbbb(.|\n)*aaaaaaaaaaaa(.|\n)*delete"
    ):
        other.load()
    assert Checkpoint.within(None, "part", "a") is None
    assert Checkpoint.within(tmp_path, "part", "a" * 64) == checkpoint


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x80\x04K\x01."])
def test_what_is_no_checkpoint_is_told(checkpoint, content):
    checkpoint.path.write_bytes(content)
    with pytest.raises(OutputError, match=r"cannot be read(.|\n)*delete"):
        checkpoint.load()


def test_what_is_not_plain_is_no_state_and_leaves_the_old_one(checkpoint):
    checkpoint.save([1])
    for state in (object(), {1: 2}, {"$array": "0"}, np.int64(3), {"x": {1, 2}}):
        with pytest.raises(TypeError):
            checkpoint.save(state)
    assert checkpoint.load() == [1]
