import pytest

from optim.cli.main import main

SETTINGS = [
    "connectomes.n_generated=1",
    "connectomes.regions=[8,8]",
    "n_shards=1",
    "simulations_per_shard=8",
    "sources=[prior]",
    "tr_s=[2.0]",
    "scan_s=[130,130,130]",
    "burn_in_s=0",
    "warm_up_s=0",
]


def test_a_corpus_is_made_verified_and_not_made_again(tmp_path, capsys):
    command = ["corpus", f"folder={tmp_path}/corpus", *SETTINGS]
    assert main(command) == 0
    assert "shard 1/1: generated-0000" in capsys.readouterr().err
    assert main(command) == 0
    out = capsys.readouterr()
    assert "shard" not in out.err
    assert "8 simulations in 1 shards over 1 connectomes" in out.out
    assert main([*command, "--verify"]) == 0
    with (tmp_path / "corpus/shards/000000.npy").open("ab") as file:
        file.write(b"x")
    assert main([*command, "--verify"]) == 65
    assert "000000.npy: sha256" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("setting", "text"), [("n_shard=3", "n_shard"), ("n_shards=many", "Integer"), ("sources=[guess]", "sources has an unknown")]
)
def test_settings_that_do_not_exist_are_refused(tmp_path, capsys, setting, text):
    assert main(["corpus", f"folder={tmp_path}", setting]) == 2
    assert text in capsys.readouterr().err
