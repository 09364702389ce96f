import shutil
import sys
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from saq_eval import SaqEvalError, add_model, compare, freeze, load_model, quantize
from saq_eval.core.errors import SaqEvalWarning
from saq_eval.networks.network import BitWidths
from saq_eval.networks.preprocessing import Preprocessing
from saq_eval.quantization import PACTActivation
from saq_eval.quantization.packing import pack
from saq_eval.training.loop import start_clips_at_quantile
from saq_eval.zoo import TRAINING_FORM, WEIGHTS, editing, find_model, load_training_form, remove_model, verify_model
from saq_eval.zoo.cards import read_card
from saq_eval.zoo.editing import write_model
from tests.zoo.edit import edit


class TestAddingAModel:
    """`add_model`: networks trained elsewhere."""

    @pytest.fixture
    def weights(self, zoo, tmp_path):
        """The state dict of a trained cnn, as somebody else would have saved it."""
        shutil.copy(zoo / "digits" / "cnn-fp32" / TRAINING_FORM, tmp_path / "my.safetensors")
        return tmp_path / "my.safetensors"

    def test_a_full_precision_network(self, zoo, tmp_path, digits, weights):
        mine = tmp_path / "mine"
        card = add_model("digits", "my-net", weights, "cnn", zoo=mine)
        assert card.training == "external" and card.recipe is None and card.history == ()
        assert card.test_accuracy == read_card(zoo / "digits" / "cnn-fp32" / "card.yaml").test_accuracy
        assert read_card(mine / "digits" / "my-net" / "card.yaml") == card
        found = find_model("digits", "my-net", mine)
        assert verify_model(*found, digits) == card.test_accuracy
        # Quantized networks can start from it.
        assert torch.equal(load_training_form(*found).conv1.weight, load_file(weights)["conv1.weight"])
        with pytest.raises(SaqEvalError, match="my-net exists already"):
            add_model("digits", "my-net", weights, "cnn", zoo=mine)
        add_model("digits", "my-net", weights, "cnn", zoo=mine, overwrite=True)
        result = compare(
            "digits", models=["my-net", "cnn-w2a2"], zoo=mine, methods=["saliency"], metrics=["SSIM"], samples=4,
            progress=False,
        )  # fmt: skip
        assert set(result.models["training"]) == {"standard", "external"}

    def test_a_quantized_network_in_training_form(self, zoo, tmp_path, digits, weights):
        twin = quantize(load_training_form(*find_model("digits", "cnn-fp32")), "w8a8")
        start_clips_at_quantile(twin, digits.images)
        save_file(
            {name: tensor.contiguous() for name, tensor in twin.state_dict().items()}, tmp_path / "twin.safetensors"
        )
        card = add_model(
            "digits",
            "my-w8",
            tmp_path / "twin.safetensors",
            "cnn",
            scheme="w8a8",
            parent="cnn-fp32",
            zoo=tmp_path / "mine",
        )
        assert card.test_accuracy > 0.95 and card.parent == "cnn-fp32" and card.training_form_sha256 is None

    def test_preprocessing(self, tmp_path, weights):
        plain = add_model("digits", "plain", weights, "cnn", zoo=tmp_path / "mine")
        dark = Preprocessing(mean=(0.0,), std=(1000.0,))
        assert (
            add_model("digits", "dark", weights, "cnn", preprocessing=dark, zoo=tmp_path / "mine").test_accuracy < 0.5
        )
        assert plain.test_accuracy > 0.9

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"architecture": "resnet20"}, "my.safetensors does not fit the architecture: it lacks"),
            ({"arguments": {"hidden": 64}}, "does not fit the architecture: it holds fc1.weight of shape .*, not"),
            ({"arguments": {"image_size": 32}}, "does not fit the architecture"),
            ({"scheme": "w4a4"}, "does not fit the architecture: .*conv1.quantizer.range"),
            ({"weights": "missing.safetensors"}, "missing.safetensors: the weights cannot be read: No such file"),
            ({"weights": __file__}, "no valid safetensors file"),
            ({"name": "a b"}, "a model's name has"),
            ({"dataset": "digit"}, "did you mean 'digits'"),
            ({"parent": "cnn-fp32"}, "a full-precision network has no parent"),
            ({"scheme": "w4a4", "parent": "nobody"}, "unknown digits model 'nobody'"),
            ({"architecture": "no_such_module_here:make"}, "cannot be imported: ModuleNotFoundError"),
            ({"architecture": "os:nothing"}, "cannot be imported: AttributeError"),
            ({"architecture": "os:sep"}, "'os:sep' is no function but str"),
            ({"architecture": "os:getcwd"}, "'os:getcwd' builds no nn.Module but str"),
        ],
    )
    def test_what_does_not_fit_is_named(self, tmp_path, weights, arguments, message):
        given = {"dataset": "digits", "name": "x", "weights": weights, "architecture": "cnn"} | arguments
        with pytest.raises(SaqEvalError, match=message):
            add_model(**given, zoo=tmp_path / "mine")
        assert not list((tmp_path / "mine").rglob("card.yaml"))

    def test_code_that_a_card_names_runs_only_if_trusted(self, zoo, tmp_path, weights, monkeypatch, digits):
        (tmp_path / "my_nets_for_a_test.py").write_text(
            "from saq_eval.networks.architectures import ARCHITECTURES\n"
            "from pathlib import Path\n"
            "Path(__file__).with_name('ran').touch()\n"
            "def make(): return ARCHITECTURES['cnn']()\n"
        )
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.path", list(sys.path))
        add_model("digits", "my-net", weights, "my_nets_for_a_test:make", zoo="mine")
        assert (tmp_path / "ran").exists()
        (tmp_path / "ran").unlink()
        sys.modules.pop("my_nets_for_a_test")
        untrusted = "could do anything that you can do; read it, then allow it with --trust-code"
        with pytest.raises(SaqEvalError, match=untrusted):
            load_model("digits", "my-net", "mine")
        with pytest.raises(SaqEvalError, match=untrusted):
            verify_model(*find_model("digits", "my-net", "mine"), digits)
        with pytest.raises(SaqEvalError, match=untrusted):
            compare("digits", models=["my-net"], zoo="mine", progress=False)
        assert not (tmp_path / "ran").exists()
        assert (
            load_model("digits", "my-net", "mine", trust_code=True).card.architecture.name == "my_nets_for_a_test:make"
        )
        assert (tmp_path / "ran").exists()

    def test_what_is_stored_computes_what_was_given(self, zoo, tmp_path, weights, monkeypatch, digits):
        """Also where layers compute their weights; a form that computes something else is not stored."""
        (tmp_path / "my_normed_net.py").write_text(
            "from torch.nn.utils import spectral_norm\n"
            "from saq_eval.networks.architectures import ARCHITECTURES\n"
            "def make():\n"
            "    network = ARCHITECTURES['cnn']()\n"
            "    spectral_norm(network.conv2)\n"
            "    return network\n"
        )
        monkeypatch.setattr("sys.path", [str(tmp_path), *sys.path])
        import my_normed_net

        torch.manual_seed(0)
        network = my_normed_net.make()
        network.train()(digits.images[:64])
        network.eval()
        save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, weights)
        add_model("digits", "normed", weights, "my_normed_net:make", zoo=tmp_path / "mine")
        stored = load_model("digits", "normed", tmp_path / "mine", trust_code=True)
        torch.testing.assert_close(stored.network(digits.images), network(digits.images), atol=1e-4, rtol=0)

        folded = editing.freeze

        def wrong(network):
            frozen = folded(network)
            frozen.fc2.bias.data[3] += 0.5
            return frozen

        monkeypatch.setattr(editing, "freeze", wrong)
        with pytest.raises(SaqEvalError, match="other logits than .*, for 256 of 256 images, by up to 0.5"):
            add_model("digits", "other", weights, "my_normed_net:make", zoo=tmp_path / "mine")

    def test_numbers_that_are_not_finite(self, tmp_path, weights, monkeypatch):
        tensors = load_file(weights)
        tensors["conv2.weight"][0, 0] = float("nan")
        save_file(tensors, tmp_path / "nan.safetensors")
        with pytest.raises(SaqEvalError, match=r"nan.safetensors holds .* not finite: conv2.weight \(9 of \d+\)"):
            add_model("digits", "x", tmp_path / "nan.safetensors", "cnn", zoo=tmp_path / "mine")
        tensors = load_file(weights)
        tensors["fc2.weight"] *= 3e38
        save_file({name: tensor.clamp(-3e38, 3e38) for name, tensor in tensors.items()}, tmp_path / "huge.safetensors")
        with pytest.raises(SaqEvalError, match="x returns logits that are not finite"):
            add_model("digits", "x", tmp_path / "huge.safetensors", "cnn", zoo=tmp_path / "mine")
        assert not list((tmp_path / "mine").rglob("card.yaml"))

    @pytest.fixture
    def twin(self, digits):
        twin = quantize(load_training_form(*find_model("digits", "cnn-fp32")), "w4a4")
        start_clips_at_quantile(twin, digits.images)
        return twin

    @pytest.mark.parametrize(
        "form", ["training", "frozen", "packed", "saved by torch", "saved by torch, in a checkpoint"]
    )
    def test_each_form_is_taken_under_its_own_scheme_alone(self, tmp_path, twin, form):
        """State dicts carry their bit widths: w4a4's is not stored as w8a8."""
        state = {name: tensor.contiguous() for name, tensor in twin.state_dict().items()}
        frozen = {name: tensor.contiguous() for name, tensor in freeze(twin).state_dict().items()}
        file = tmp_path / ("twin.pt" if "torch" in form else "twin.safetensors")
        if form == "saved by torch":
            torch.save(state, file)
        elif "checkpoint" in form:
            torch.save({"state_dict": state}, file)
        else:
            save_file({"training": state, "frozen": frozen, "packed": pack(freeze(twin))}[form], file)
        with pytest.raises(
            SaqEvalError, match=r"conv2.* (has .*bits, but the state was made at 4|codes of 8 bits take)"
        ):
            add_model("digits", "wrong", file, "cnn", scheme="w8a8", zoo=tmp_path / "mine")
        assert not list((tmp_path / "mine").rglob("card.yaml"))
        add_model("digits", "right", file, "cnn", scheme="w4a4", zoo=tmp_path / "mine")
        stored = load_model("digits", "right", tmp_path / "mine").frozen
        assert all(torch.equal(tensor, frozen[name]) for name, tensor in stored.state_dict().items())

    def test_a_full_precision_network_in_frozen_form(self, tmp_path, digits):
        frozen = load_model("digits", "cnn-fp32").frozen
        save_file({n: t.contiguous() for n, t in frozen.state_dict().items()}, tmp_path / "frozen.safetensors")
        card = add_model("digits", "folded", tmp_path / "frozen.safetensors", "cnn", zoo=tmp_path / "mine")
        stored = load_model("digits", "folded", tmp_path / "mine").network
        assert torch.equal(stored(digits.images), load_model("digits", "cnn-fp32").network(digits.images))
        assert card.training_form_sha256 is None  # nothing can start from it

    def test_a_state_without_bit_widths_is_taken(self, tmp_path, twin):
        """As those of earlier versions are."""
        state = {n: t.contiguous() for n, t in twin.state_dict().items() if not n.endswith("stated_bits")}
        save_file(state, tmp_path / "old.safetensors")
        add_model("digits", "old", tmp_path / "old.safetensors", "cnn", scheme="w4a4", zoo=tmp_path / "mine")

    @pytest.mark.parametrize(
        ("weights", "message"),
        [
            ("/dev/zero", "/dev/zero: the weights cannot be read: it is a device or a pipe, not a file"),
            ("/", "/: the weights cannot be read: it is a folder, not a file"),
            ("large.safetensors", "the weights cannot be read: it has 8,192 MiB, at most 4,096 may be"),
            ("code.pt", "no state dict that torch saved: UnpicklingError"),
            ("list.pt", "holds no state dict of tensors"),
        ],
    )
    def test_files_are_looked_at_before_they_are_read(self, tmp_path, weights, message, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with open("large.safetensors", "wb") as large:
            large.truncate(2**33)  # takes no room on the disk
        torch.save(nn.Linear(1, 1), "code.pt")
        torch.save([torch.zeros(1)], "list.pt")
        with pytest.raises(SaqEvalError, match=message):
            add_model("digits", "x", weights, "cnn", zoo=tmp_path / "mine")


class TestRemovingAModel:
    def test_only_from_a_zoo_of_ones_own(self, zoo, tmp_path, monkeypatch):
        mine = tmp_path / "mine"
        shutil.copytree(zoo / "digits" / "cnn-w2a2", mine / "digits" / "my-net")
        edit(mine / "digits" / "my-net" / "card.yaml", name="my-net")
        for given in (None, mine):
            with pytest.raises(SaqEvalError, match="cnn-w2a2 is not in a zoo of your own"):
                remove_model("digits", "cnn-w2a2", given)
        with pytest.raises(SaqEvalError, match="unknown digits model 'my-n'"):
            remove_model("digits", "my-n", mine)
        with pytest.raises(SaqEvalError, match=r"unknown digits model '\*'"):
            remove_model("digits", "*", mine)
        monkeypatch.setenv("SAQ_EVAL_ZOO", str(zoo))
        with pytest.raises(
            SaqEvalError, match="cnn-w2a2 is not in a zoo of your own"
        ):  # the built-in one by another name
            remove_model("digits", "cnn-w2a2")
        assert remove_model("digits", "my-net", mine) == mine / "digits" / "my-net"
        assert not (mine / "digits" / "my-net").exists() and (zoo / "digits" / "cnn-w2a2").exists()

    def test_not_a_parent(self, zoo, tmp_path):
        mine = tmp_path / "mine"
        for name, parent in (("mine-fp32", None), ("mine-w2", "mine-fp32")):
            shutil.copytree(zoo / "digits" / ("cnn-w2a2" if parent else "cnn-fp32"), mine / "digits" / name)
            edit(mine / "digits" / name / "card.yaml", name=name, parent=parent)
        with pytest.raises(SaqEvalError, match="mine-fp32 is the parent of mine-w2; remove these first"):
            remove_model("digits", "mine-fp32", mine)
        remove_model("digits", "mine-w2", mine)
        remove_model("digits", "mine-fp32", mine)


@pytest.mark.parametrize(
    ("clip", "message"), [(-1e10, "alpha is -10000000000.0, not above 0"), (float("nan"), "not finite")]
)
def test_what_could_not_be_read_is_not_written(zoo, tmp_path, clip, message):
    card, folder = find_model("digits", "cnn-w2a2")
    frozen = load_model("digits", "cnn-w2a2").frozen
    next(module for module in frozen.modules() if isinstance(module, PACTActivation)).alpha.data.fill_(clip)
    with pytest.raises(SaqEvalError, match=message):
        write_model(tmp_path / "mine", card, frozen, None)
    assert not (tmp_path / "mine").exists()
    write_model(tmp_path / "mine", card, load_model("digits", "cnn-w2a2").frozen, None)
    assert (tmp_path / "mine/digits/cnn-w2a2" / WEIGHTS).read_bytes() == (folder / WEIGHTS).read_bytes()


def test_a_network_without_hidden_layers_has_the_bits_of_its_ends(zoo, tmp_path, monkeypatch, digits):
    """Its card and tables say what is there, not what the scheme has for others; and it is said at once."""
    (tmp_path / "two_layers.py").write_text(
        "from torch import nn\n"
        "def make(): return nn.Sequential(nn.Conv2d(1, 2, 5, stride=3), nn.ReLU(), nn.Flatten(), nn.Linear(128, 10))\n"
    )
    monkeypatch.setattr("sys.path", [str(tmp_path), *sys.path])
    import two_layers

    twin = quantize(two_layers.make(), "w4a4")
    start_clips_at_quantile(twin, digits.images)
    save_file({name: tensor.contiguous() for name, tensor in twin.state_dict().items()}, tmp_path / "two.safetensors")
    with pytest.warns(SaqEvalWarning, match="scheme 'w4a4' touches no hidden layer"):
        card = add_model(
            "digits", "two", tmp_path / "two.safetensors", "two_layers:make", scheme="w4a4", zoo=tmp_path / "mine"
        )
    assert card.bit_widths == card.bits == BitWidths(weights="8", activations="8", ends="8")
    assert find_model("digits", "cnn-w2a2")[0].bit_widths == BitWidths(weights="2", activations="2", ends="8")
    assert replace(card, bits=None).bit_widths.weights == "4"  # all that an earlier card tells
