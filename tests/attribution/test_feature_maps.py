"""Which layer has the last feature map, and how tokens are read as one."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from saq_eval import SaqEvalError, explain
from saq_eval.attribution.feature_maps import find_layer, token_grid
from saq_eval.attribution.rules import layer_graph
from saq_eval.core.errors import Unsupported
from tests.attribution import foreign

TARGETS = torch.tensor([0, 4])


@pytest.mark.parametrize(
    ("tokens", "size", "grid"),
    [
        (197, (224, 224), (1, 14, 14)),
        (196, (224, 224), (0, 14, 14)),
        (261, (224, 224), (5, 16, 16)),  # DINOv2 with four registers
        (17, (32, 32), (1, 4, 4)),
        (25, (32, 48), (1, 4, 6)),  # not 5x5, whose patches would not be square
    ],
)
def test_tokens_form_a_grid_of_square_patches(tokens, size, grid):
    assert token_grid(tokens, size) == grid


def test_tokens_that_form_none_or_several_are_named():
    with pytest.raises(SaqEvalError, match="90 tokens of an image of 32x32 are no grid of square patches"):
        token_grid(90, (32, 32))
    with pytest.raises(SaqEvalError, match="in several ways: 3x3 after 1 others or 2x2 after 6 others"):
        token_grid(10, (6, 6))


def of_tokens(network, layer, grid, extra):
    """Grad-CAM by hand, from tokens (n, t, k)."""
    kept = {}
    handle = network.get_submodule(layer).register_forward_hook(lambda m, i, output: kept.update(maps=output))
    logits = network(foreign.PICTURES.clone().requires_grad_())
    handle.remove()
    (gradients,) = torch.autograd.grad(logits.gather(1, TARGETS[:, None]).sum(), kept["maps"])
    maps, gradients = (tensor.reshape(2, -1, tensor.shape[-1])[:, extra:] for tensor in (kept["maps"], gradients))
    coarse = F.relu((maps * gradients.mean(1, keepdim=True)).sum(-1)).reshape(2, 1, *grid)
    return F.interpolate(coarse, (32, 32), mode="bilinear", align_corners=False)[:, 0].detach()


@pytest.mark.parametrize(
    ("make", "last", "other", "grid", "extra"),
    [
        (foreign.vit, "encoder.layers.encoder_layer_1.ln_1", "encoder.layers.encoder_layer_0.ln_2", (4, 4), 1),
        (foreign.timm_vit, "blocks.1.norm1", "blocks.0.norm2", (4, 4), 1),
        (foreign.swin, "features.3.0.norm1", "features.1.0.norm2", (4, 4), 0),
    ],
)
def test_gradcam_of_a_transformer_reads_the_first_norm_of_the_last_block(make, last, other, grid, extra):
    network = make()
    ours = explain("gradcam", network, foreign.PICTURES, TARGETS)
    expected = of_tokens(network, last, grid, extra)
    assert expected.any()
    torch.testing.assert_close(ours, expected, atol=1e-6, rtol=1e-4)
    named = explain(f"gradcam:layer={other}", network, foreign.PICTURES, TARGETS)
    grid = grid if make is not foreign.swin else (8, 8)
    torch.testing.assert_close(named, of_tokens(network, other, grid, extra), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(
    ("make", "last"),
    [
        (foreign.convnext, "add_1_output"),
        (foreign.efficientnet, "features.2.2"),
        (foreign.mobilenet, "features.2.2"),
        (foreign.densenet, "relu"),
    ],
)
def test_the_last_feature_map_of_a_convolutional_network(make, last):
    graph = layer_graph(make())
    layer = find_layer(graph, foreign.PICTURES[:1], "last", "gradcam")
    names = {id(module): name for name, module in graph.named_modules()}
    assert names[id(layer)].startswith(last)


class OwnNorm(nn.Module):
    def forward(self, x):
        return x / x.std(-1, keepdim=True)


class Unknown(nn.Module):
    """A transformer that is written without layer norms of torch."""

    def __init__(self):
        super().__init__()
        self.patches, self.norm1, self.norm2 = nn.Conv2d(3, 8, 8, 8), OwnNorm(), OwnNorm()
        self.mix, self.out = nn.Linear(8, 24), nn.Linear(8, 5)

    def forward(self, x):
        x = self.norm1(self.patches(x).flatten(2).transpose(1, 2))
        q, k, v = self.mix(x).chunk(3, -1)
        return self.out(self.norm2(x + F.scaled_dot_product_attention(q, k, v)).mean(1))


def test_a_patch_embedding_is_not_taken_for_the_last_feature_map():
    network = Unknown().eval()
    with pytest.raises(Unsupported, match="not clear which feature map is the last; attention follows"):
        explain("gradcam", network, foreign.PICTURES, TARGETS)
    assert explain("gradcam:layer=mix", network, foreign.PICTURES, TARGETS).any()
