import pickle
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import save, save_file
from torch import nn

from saq_eval import SaqEvalError
from saq_eval.core.errors import SaqEvalWarning
from saq_eval.networks.weights import load_into, parse_weights, read_bytes, sha256_of


def layers(width: int = 4) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.Flatten(), nn.Linear(width, 2))


def test_safetensors_come_back_as_they_were(tmp_path):
    state = layers().state_dict()
    save_file(state, tmp_path / "w.safetensors")
    content = read_bytes(tmp_path / "w.safetensors")
    assert sha256_of(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tensors = parse_weights(content, tmp_path / "w.safetensors")
    other = layers()
    load_into(other, tensors, "w")
    assert all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in state.items())


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"state_dict": s}, lambda s: {"model": s, "epoch": 3}])
def test_what_torch_saved_is_read_with_a_recommendation(tmp_path, wrap):
    path = tmp_path / "w.pth"
    torch.save(wrap(layers().state_dict()), path)
    with pytest.warns(SaqEvalWarning, match=r"safetensors.torch.save_file\(torch.load\('w.pth', weights_only=True\)"):
        tensors = parse_weights(read_bytes(path), path)
    assert tensors.keys() == layers().state_dict().keys()


class Bomb:
    def __reduce__(self):
        return Path.touch, (Path("exploded"),)


def test_a_pickle_with_code_is_refused_and_its_code_does_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": Bomb()}, "bomb.pt")
    Path("plain.pth").write_bytes(pickle.dumps(Bomb()))
    for name in ("bomb.pt", "plain.pth"):
        with pytest.raises(SaqEvalError, match=f"{name}: no state dict that torch saved: UnpicklingError: .* run code"):
            parse_weights(read_bytes(Path(name)), Path(name))
    assert not Path("exploded").exists()


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"", "w.safetensors", "w.safetensors: the weights cannot be read: the file is empty"),
        (save({"a": torch.zeros(9)})[:-4], "w.safetensors", "no valid safetensors file"),
        (b"hello, this is text", "w.safetensors", "no valid safetensors file"),
        (b"hello, this is text", "w.pt", "no state dict that torch saved"),
        (save({"a": torch.tensor([1.0, float("nan")])}), "w.safetensors", r"not finite: a \(1 of 2\)"),
    ],
)
def test_a_damaged_file_gets_a_sentence(tmp_path, content, name, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SaqEvalError, match=message):
        parse_weights(read_bytes(path), path)


def test_a_folder_is_no_file_of_weights(tmp_path):
    with pytest.raises(SaqEvalError, match="it is a folder, not a file"):
        read_bytes(tmp_path)


def test_three_tensors_that_do_not_fit_are_named_and_the_others_counted():
    state = layers().state_dict()
    more = state | {f"extra{i}": torch.zeros(1) for i in range(5)}
    with pytest.raises(SaqEvalError, match="w does not fit .*: the network lacks extra0, extra1, extra2 and 2 more$"):
        load_into(layers(), more, "w")
    with pytest.raises(SaqEvalError, match="it lacks 0.weight, 0.bias, 1.weight and 3 more$"):
        load_into(layers(), {name: state[name] for name in ("3.weight", "3.bias")}, "w")
    with pytest.raises(
        SaqEvalError, match=r"it holds 0.weight of shape \(4, 3, 3, 3\), not \(5, 3, 3, 3\), .* and 4 more$"
    ):
        load_into(layers(5), state, "w")
    del more["0.bias"]
    with pytest.raises(SaqEvalError, match="it lacks 0.bias; the network lacks extra0, .*; it holds 0.weight"):
        load_into(layers(5), more, "w")


def test_modules_that_want_a_version_get_their_own_and_torch_takes_older_files():
    from torchvision.models import mnasnet0_5

    network = mnasnet0_5(num_classes=2)
    load_into(network, dict(network.state_dict()), "w")  # refuses a state dict without a version
    old = {name: tensor for name, tensor in layers().state_dict().items() if "num_batches" not in name}
    load_into(layers(), old, "w")
