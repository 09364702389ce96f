import json
import re

from tests.cli.process import saq_eval_here


def test_train_and_list(tmp_path):
    zoo = tmp_path / "zoo"
    recipe = tmp_path / "quick.yaml"
    recipe.write_text("{epochs: 1, batch_size: 128, learning_rate: 0.05, weight_decay: 0, alpha_init: quantile}")
    done = saq_eval_here(
        "train", "--dataset", "digits", "--scheme", "w4a4", "--saliency-guided", "--ranking", "signed",
        "--masked-fraction", 0.3, "--divergence-weight", 0.7, "--name", "mine", "--recipe", recipe, "--zoo", zoo, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"digits/mine: test accuracy \d+\.\d\d %\n", done.stdout)
    listed = json.loads(saq_eval_here("zoo", "list", "--json", "--zoo", zoo, cwd=tmp_path).stdout)
    (mine,) = [card for card in listed if card["name"] == "mine"]
    assert mine["parent"] == "cnn-fp32-sgt"
    assert mine["recipe"]["saliency_guided"] == {"masked_fraction": 0.3, "weight": 0.7, "ranking": "signed"}
    assert saq_eval_here("zoo", "verify", "mine", "--zoo", zoo, cwd=tmp_path).stdout.endswith(
        "1 of 1 models verified\n"
    )

    weights = zoo / "digits" / "mine" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    done = saq_eval_here("zoo", "verify", "mine", "--dataset", "digits", "--zoo", zoo, cwd=tmp_path)
    assert done.returncode == 2 and str(weights) in done.stderr and "0 of 1 models verified" in done.stdout
