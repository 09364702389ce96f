import pytest
import torch
from torch import nn
from torch.nn import functional as F

from saq_eval import SaqEvalError, explain
from saq_eval.attribution.class_activation import _spatial_layer
from saq_eval.attribution.rules import RECTIFIERS


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
    layer = _spatial_layer(network, digits.images[:1], "last")
    assert isinstance(layer, RECTIFIERS)
    names = {id(module): name for name, module in network.named_modules()}
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
    functional = Functional().eval()
    assert _spatial_layer(functional, images[:1], "last") is functional.conv
    flat = nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.ReLU(), nn.Linear(5, 3)).eval()
    with pytest.raises(SaqEvalError, match="needs a rectifier or convolution with spatial extent"):
        explain("gradcam", flat, images, targets)
