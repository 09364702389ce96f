import pytest
import torch
from torch import nn
from torch.nn import functional as F

from saq_eval import SaqEvalError, explain, freeze, quantize
from saq_eval.attribution.feature_maps import find_layer
from saq_eval.attribution.rules import RECTIFIERS, layer_graph
from tests.conftest import settle


def by_hand(network, layer, images, targets):
    """Equations 1 and 2 of the paper: ReLU of the feature maps weighted by their mean gradients."""
    kept = {}
    handle = network.get_submodule(layer).register_forward_hook(lambda m, i, output: kept.update(maps=output))
    logits = network(images.clone().requires_grad_())
    handle.remove()
    (gradients,) = torch.autograd.grad(logits.gather(1, targets[:, None]).sum(), kept["maps"])
    weights = gradients.mean(dim=(2, 3), keepdim=True)
    coarse = F.relu((weights * kept["maps"]).sum(dim=1, keepdim=True))
    return F.interpolate(coarse, images.shape[2:], mode="bilinear", align_corners=False)[:, 0].detach()


def test_gradcam_of_a_named_layer(precise, precise_batch):
    for layer in ("act3", "act5", "conv4"):
        expected = by_hand(precise, layer, *precise_batch).float()
        torch.testing.assert_close(explain(f"gradcam:layer={layer}", precise, *precise_batch), expected)


def test_the_last_layer_is_the_last_rectifier_with_an_image(network, digits):
    graph = layer_graph(network)
    layer = find_layer(graph, digits.images[:1], "last", "gradcam")
    assert isinstance(layer, RECTIFIERS)
    names = {id(module): name for name, module in graph.named_modules()}
    assert names[id(layer)] in ("act5", "stage3_block3.act2", "relu_1")


def test_guided_gradcam_is_their_product(small, batch):
    product = explain("guided_backprop", small, *batch) * explain("gradcam", small, *batch)
    torch.testing.assert_close(explain("guided_gradcam", small, *batch), product, atol=1e-7, rtol=1e-4)
    named = explain("guided_gradcam:layer=act3", small, *batch)
    expected = explain("guided_backprop", small, *batch) * explain("gradcam:layer=act3", small, *batch)
    torch.testing.assert_close(named, expected, atol=1e-7, rtol=1e-4)


def test_networks_without_modules_for_rectifiers_or_without_images():
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv2d(1, 4, 3), nn.Linear(4 * 36, 3)

        def forward(self, x):
            return self.fc(torch.flatten(torch.tanh(self.conv(x)), 1))

    images, targets = torch.rand(2, 1, 8, 8), torch.tensor([0, 1])
    torch.manual_seed(4)
    functional = Functional().eval()
    expected = by_hand(nn.Sequential(functional.conv, nn.Tanh(), nn.Flatten(), functional.fc), "1", images, targets)
    torch.testing.assert_close(explain("gradcam", functional, images, targets), expected)
    flat = nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.ReLU(), nn.Linear(5, 3)).eval()
    with pytest.raises(SaqEvalError, match="gradcam: no convolution or rectifier with spatial extent"):
        explain("gradcam", flat, images, targets)


class Written(nn.Module):
    """Two convolutions with rectifiers, the second with half the extent, and a rectifier without extent; written in several ways."""  # noqa: E501

    def __init__(self, way: str) -> None:
        super().__init__()
        torch.manual_seed(6)
        self.conv1, self.norm1 = nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.conv2, self.norm2 = nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.fc1, self.fc2 = nn.Linear(6 * 36, 12), nn.Linear(12, 5)
        in_place = way in ("in place", "one in place")
        self.act1, self.act2, self.act3 = (nn.ReLU(inplace=in_place) for _ in range(3))
        if way in ("one", "one in place"):
            self.act2 = self.act3 = self.act1
        self.way = way

    def forward(self, x):
        rectify = {"functions": (F.relu, torch.relu, F.relu), "functions in place": (F.relu_, torch.relu_, F.relu_)}
        act1, act2, act3 = rectify.get(self.way, (self.act1, self.act2, self.act3))
        x = F.max_pool2d(act1(self.norm1(self.conv1(x))), 2)
        x = act2(self.norm2(self.conv2(x)))
        return self.fc2(act3(self.fc1(torch.flatten(x, 1))))


WAYS = ("modules", "functions", "functions in place", "in place", "one", "one in place")


@pytest.mark.parametrize("name", ["gradcam", "guided_gradcam"])
@pytest.mark.parametrize("way", WAYS)
def test_the_function_alone_decides_the_map(way, name):
    images, targets = torch.rand(4, 1, 12, 12), torch.tensor([0, 1, 2, 3])
    network, reference = (settle(Written(written), images) for written in (way, "modules"))
    expected = by_hand(reference, "act2", images, targets)
    if name == "guided_gradcam":
        expected = expected * explain("guided_backprop", reference, images, targets)
    assert (expected.abs().amax(dim=(1, 2)) > 0).sum() >= 2
    for same in (network, freeze(network)):
        torch.testing.assert_close(explain(name, same, images, targets), expected, atol=1e-6, rtol=1e-4)
    if name == "gradcam":  # guided backpropagation has no rule for the training form
        twin = quantize(network, "w8a8").eval()
        ours = explain(name, twin, images, targets)
        assert ours.any()
        torch.testing.assert_close(ours, explain(name, freeze(twin), images, targets), atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("way", WAYS)
def test_layers_are_named_alike_for_both_methods_and_all_of_them_are_listed(way):
    images, targets = torch.rand(2, 1, 12, 12), torch.tensor([0, 1])
    network, reference = (settle(Written(written), images) for written in (way, "modules"))
    first = {"functions": "relu", "functions in place": "relu_"}.get(way, "act1")
    convolution = by_hand(reference, "norm1", images, targets)
    for layer, expected in (("norm1", convolution), (first, by_hand(reference, "act1", images, targets))):
        ours = explain(f"gradcam:layer={layer}", network, images, targets)
        torch.testing.assert_close(ours, expected, atol=1e-6, rtol=1e-4)
        guided = explain(f"guided_gradcam:layer={layer}", network, images, targets)
        gradient = explain("guided_backprop", network, images, targets)
        torch.testing.assert_close(guided, gradient * ours, atol=1e-6, rtol=1e-4)
    messages = []
    for method in ("gradcam", "guided_gradcam"):
        with pytest.raises(
            SaqEvalError, match="unknown layer with spatial extent 'conv3'; did you mean 'conv"
        ) as error:
            explain(f"{method}:layer=conv3", network, images, targets)
        messages.append(str(error.value).partition("valid: ")[2].split(", "))
    assert messages[0] == messages[1] and messages[0][:3] == ["conv1", "norm1", first] and len(messages[0]) == 7


def test_layers_of_a_sequence_go_by_their_numbers_for_both_methods(batch):
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2028, 10)).eval()
    ours = explain("gradcam:layer=1", network, *batch)
    torch.testing.assert_close(ours, explain("gradcam", network, *batch))
    product = explain("guided_backprop", network, *batch) * ours
    torch.testing.assert_close(explain("guided_gradcam:layer=1", network, *batch), product)


def test_a_residual_network_of_torchvision():
    """Its blocks use one rectifier twice, the second time after the residual sum, in place."""
    from torchvision.models import resnet18

    torch.manual_seed(0)
    network = settle(resnet18(num_classes=5), torch.rand(4, 3, 64, 64))
    images, targets = torch.rand(2, 3, 64, 64), torch.tensor([1, 4])
    expected = by_hand(network, "layer4", images, targets)
    assert expected.abs().max() > 0
    for same in (network, freeze(network)):
        ours = explain("gradcam", same, images, targets)
        torch.testing.assert_close(ours, expected, atol=1e-4 * expected.max().item(), rtol=1e-3)


def test_where_a_network_cannot_be_taken_apart_the_layer_is_named():
    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.act, self.fc = nn.Conv2d(1, 3, 3), nn.ReLU(inplace=True), nn.Linear(108, 3)

        def forward(self, x):
            x = self.act(self.conv(x))
            x = self.act(x - 0.1) if x.sum() > 1e9 else x
            return self.fc(x.flatten(1))

    network, images, targets = Branching().eval(), torch.rand(2, 1, 8, 8), torch.tensor([0, 1])
    ours = explain("gradcam:layer=conv", network, images, targets)
    torch.testing.assert_close(ours, by_hand(layer_graph_of(network), "0", images, targets))
    with pytest.raises(SaqEvalError, match="it is not clear which feature map is the last; .*; name a layer, layer=…; valid: conv, act$"):  # fmt: skip  # noqa: E501
        explain("gradcam", network, images, targets)


def layer_graph_of(network):
    return nn.Sequential(network.conv, nn.ReLU(), nn.Flatten(), network.fc)


def test_no_gradient_reaches_the_layer():
    cut = type("Cut", (nn.Module,), {"forward": lambda self, x: torch.floor(x)})()
    images, targets = torch.rand(2, 1, 8, 8), torch.tensor([0, 1])
    behind = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), cut, nn.Flatten(), nn.Linear(108, 3)).eval()
    with pytest.raises(SaqEvalError, match="gradcam: no gradient reaches the layer '1' from the logits"):
        explain("gradcam:layer=1", behind, images, targets)
    assert explain("gradcam", behind, images, targets).shape == (2, 8, 8)  # at the layer that rounds
    before = nn.Sequential(cut, nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 3)).eval()
    assert explain("gradcam", before, images, targets).shape == (2, 8, 8)
