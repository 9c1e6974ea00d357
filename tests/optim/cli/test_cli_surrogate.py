import json

from optim.cli.main import main

CORPUS = "connectomes.n_generated=6 connectomes.regions=[6,8] connectomes.held_out=0.17 n_shards=6 simulations_per_shard=32 "
CORPUS += "tr_s=[2.0] scan_s=[130,130,130] burn_in_s=0 warm_up_s=0"


def test_from_a_corpus_to_an_evaluated_surrogate(tmp_path, capsys):
    assert main(["corpus", f"folder={tmp_path}/corpus", *CORPUS.split()]) == 0
    sizes = ["network.width=8", "network.heads=2", "network.layers=1", "epochs=1", "devices='1'"]
    assert main(["train", f"corpus={tmp_path}/corpus", f"folder={tmp_path}/surrogate", *sizes]) == 0
    assert "epoch 1/1: loss" in capsys.readouterr().err
    table = tmp_path / "table.tsv"
    evaluate = ["evaluate-surrogate", "--surrogate", f"{tmp_path}/surrogate", "--corpus", f"{tmp_path}/corpus"]
    figure = tmp_path / "figure.png"
    assert main([*evaluate, "--out", str(table), "--figure", str(figure), "--record"]) == 0
    card = json.loads((tmp_path / "surrogate/card.json").read_text())
    assert card["held_out"]["classifier"]["sets"] > 0
    assert card["envelope"]["mean_fc"][0] < card["envelope"]["mean_fc"][1]
    assert main(evaluate) == 0
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert "within range" in capsys.readouterr().out
    assert table.read_text().startswith("connectome\tkind\tmethod")
    assert main(["evaluate-surrogate", "--surrogate", str(tmp_path), "--corpus", f"{tmp_path}/corpus"]) == 66
    assert main(["train", f"corpus={tmp_path}/nowhere"]) == 66
    assert "There is no corpus in" in capsys.readouterr().err
