"""Networks as their owners give them."""

import copy

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from saq_eval import SaqEvalError
from saq_eval.networks.given import given_networks
from saq_eval.networks.network import Network
from saq_eval.networks.preprocessing import Normalize, Preprocessing

IMAGES = torch.rand(3, 1, 8, 8)


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(144, 5))


def only(given, *args, **kwargs):
    return given_networks({"mine": given}, *args, **kwargs)["mine"]


def test_a_module_is_copied_and_stays_as_it_is(net):
    net.train()
    before, hooks = copy.deepcopy(net.state_dict()), len(net[0]._forward_hooks)
    network = only(net, Preprocessing((0.5,), (0.25,)))
    assert (network.name, network.architecture, network.bits) == ("mine", "Sequential", ("", "", ""))
    assert network.parameters == sum(p.numel() for p in net.parameters()) and network.ideal_bytes is None
    with torch.no_grad():
        expected = net.eval()((IMAGES - 0.5) / 0.25)
        assert torch.allclose(network.module(IMAGES), expected, atol=1e-6)
    net.train()
    assert net.training and len(net[0]._forward_hooks) == hooks and net[0].weight.is_contiguous()
    assert all(
        torch.equal(value, before[name]) and value.requires_grad is False for name, value in net.state_dict().items()
    )
    assert net[0].weight.requires_grad


def test_facts_that_are_given_stay_and_others_are_not_guessed(net):
    network = only(Network(net, weight_bits=4, seed=3, training="distilled", architecture="tiny"))
    assert (network.weight_bits, network.activation_bits, network.seed) == ("4", "", 3)
    assert (network.training, network.architecture, network.scheme) == ("distilled", "tiny", "")
    assert network.full_precision is None


def test_a_networks_own_preprocessing_comes_before_that_of_all(net):
    own = only(Network(net, preprocessing=Preprocessing((0.1,), (0.2,))), Preprocessing((0.5,), (0.25,)))
    with torch.no_grad():
        assert torch.allclose(own.module(IMAGES), net.eval()((IMAGES - 0.1) / 0.2), atol=1e-5)


def test_what_a_network_computes_identifies_it(net):
    other = copy.deepcopy(net)
    with torch.no_grad():
        other[4].bias += 1
    one, again, changed = (only(each).identity for each in (net, copy.deepcopy(net), other))
    assert one == again != changed
    assert only(net, Preprocessing((0.5,), (0.25,))).identity != one
    wider = nn.Sequential(*net[:3], nn.Flatten(), net[4], nn.Softmax(dim=1))
    assert only(wider).identity != one


def test_a_function_may_compute_anything_so_it_is_never_taken_for_an_earlier_one():
    def double(images):
        return 2 * images.flatten(1).numpy()

    one, again = only(double), only(double)
    assert one.identity != again.identity and one.parameters is None and one.untrained(0) is None
    np.testing.assert_array_equal(one.module(IMAGES), 2 * IMAGES.flatten(1))


def test_random_weights_are_drawn_for_a_module_and_built_anew_by_its_owners_function(net):
    control = only(net, Preprocessing((0.5,), (0.25,))).untrained(7)
    assert (control.name, control.training, control.weights) == ("mine (random weights)", "none", "seed 7")
    with torch.no_grad():
        assert not torch.allclose(control.module(IMAGES), only(net).module(IMAGES))
    fresh = nn.Sequential(nn.Flatten(), nn.Linear(64, 5))
    built = only(Network(net, untrained=lambda seed: Network(fresh))).untrained(7)
    with torch.no_grad():
        assert torch.allclose(built.module(IMAGES), fresh(IMAGES))


def test_a_text_opens_a_source(tmp_path):
    from torchvision.models import get_model

    torch.manual_seed(0)
    squeeze = get_model("squeezenet1_1", num_classes=3).eval()
    save_file(squeeze.state_dict(), tmp_path / "s.safetensors")
    network = only(f"torchvision:squeezenet1_1@{tmp_path / 's.safetensors'}")
    assert network.geometry.crop == 224 and network.file_bytes > 0 and network.preprocessing is None
    images, (mean, std) = (
        torch.rand(2, 3, 64, 64),
        (torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])),
    )
    with torch.no_grad():
        expected = squeeze((images - mean[:, None, None]) / std[:, None, None])
        assert torch.allclose(network.module(images), expected, atol=1e-5)
        assert network.untrained(1).module(images).shape == (2, 3)


def test_a_source_without_a_normalisation_takes_the_comparisons_and_another_keeps_its_own(tmp_path, monkeypatch):
    code = "from torch import nn\ndef net(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 5))\n"
    (tmp_path / "given_nets.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    everybodys = Preprocessing((0.5,), (0.25,))
    plain, own = (only(f"given_nets:net{text}", everybodys, trust_code=True) for text in ("", "?mean=0.1&std=0.2"))
    for network, (mean, std) in ((plain, (0.5, 0.25)), (own, (0.1, 0.2))):
        assert [(m.mean.item(), m.std.item()) for m in network.module.modules() if isinstance(m, Normalize)] == [
            (pytest.approx(mean), pytest.approx(std))
        ]


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("a b", nn.Identity(), "a network's name has up to 100 letters"),
        ("mine", 3, "the network 'mine': a network is a .* not 3"),
        ("mine", nn.Identity, "the network 'mine': a network is .*not the class Identity"),
        ("mine", "nowhere", "the network 'mine': 'nowhere' names no network"),
        ("mine", nn.BatchNorm2d(1, track_running_stats=False), "the network 'mine': the network mixes the images"),
    ],
)
def test_what_is_no_network_is_refused_by_its_name(name, given, message):
    with pytest.raises(SaqEvalError, match=message):
        given_networks({name: given})
