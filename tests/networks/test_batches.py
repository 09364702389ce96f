"""Networks that mix the images of a batch, and reading them one by one."""

import pytest
import torch
from torch import nn

from saq_eval.attribution.explaining import explain
from saq_eval.core.errors import SaqEvalError, SaqEvalWarning, Unsupported
from saq_eval.networks.batches import NotInBatches, OneByOne, check_rows
from saq_eval.networks.private import private, readable_in_batches
from tests.attribution import foreign

IMAGES, TARGET = foreign.IMAGES[:3], foreign.LABELS[:1]
METHOD = "occlusion:window=6,stride=6"


def dynamic(x, bits=8):
    """Quantize by the range of the whole tensor, which no gradient shows."""
    scale = (x.detach().amax() / (2**bits - 1)).clamp_min(1e-9)
    return x + ((x / scale).round() * scale - x).detach()


class Dynamic(nn.Module):
    def __init__(self):
        super().__init__()
        self.network = foreign.trained()

    def forward(self, x):
        return self.network(dynamic(x))


def by_torch():
    return torch.ao.quantization.quantize_dynamic(foreign.trained(), {nn.Linear}, dtype=torch.qint8)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["module", "torch", "onnx"])
def test_a_scale_of_the_whole_batch_is_found_and_images_are_read_one_by_one(kind, tmp_path):
    if kind == "onnx":
        pytest.importorskip("onnxruntime")
    network = private({"module": Dynamic, "torch": by_torch, "onnx": lambda: foreign.by_onnxruntime(tmp_path)}[kind]())
    read, facts = readable_in_batches(network, IMAGES[:1], TARGET, 2)
    assert isinstance(read, OneByOne) and facts.gradient == (kind == "module")
    with torch.no_grad():
        alone = torch.cat([network(image) for image in IMAGES.split(1)])
        assert torch.equal(read(IMAGES), alone) and not torch.equal(network(IMAGES), alone)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "make",
    [
        foreign.trained,
        foreign.by_fx,
        foreign.by_brevitas,
        lambda: foreign.by_torchao("Int8DynamicActivationInt8WeightConfig"),  # a scale for each row
    ],
)
def test_networks_that_read_images_apart_are_left_as_they_are(make):
    network = private(make())
    for image in foreign.IMAGES.split(1):
        assert readable_in_batches(network, image, TARGET, 2)[0] is network


def test_a_network_of_one_image_at_a_time_gets_one():
    def single(images):
        return foreign.trained()(images.reshape(1, 1, 12, 12))

    read, _ = readable_in_batches(private(single), IMAGES[:1], TARGET, 2)
    assert read(IMAGES).shape == (3, 5)


def test_rows_agree_to_rounding():
    logits = foreign.trained()(IMAGES).detach()
    check_rows(foreign.trained(), IMAGES, logits * (1 + 1e-6))
    with pytest.raises(NotInBatches, match="mixes the images of a batch"):
        check_rows(foreign.trained(), IMAGES, logits * 1.002)


def test_maps_are_those_of_the_network_alone():
    with pytest.warns(SaqEvalWarning, match="images are read one at a time, since the logits"):
        maps = explain(METHOD, Dynamic(), IMAGES, foreign.LABELS[:3])
    for place in range(3):
        only = slice(place, place + 1)
        expected = explain(METHOD, OneByOne(Dynamic()), IMAGES[only], foreign.LABELS[only])
        torch.testing.assert_close(maps[only], expected)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", ["gradcam", "gradcam:layer=network.network.3", "lrp"])
def test_methods_that_read_layers_are_refused_since_layers_see_one_image(method):
    with pytest.raises(Unsupported, match="reads one image at a time, so its layers see no batch"):
        explain(method, Dynamic(), IMAGES, foreign.LABELS[:3])
    with pytest.raises(SaqEvalError, match="layers see no batch"):
        torch.fx.symbolic_trace(nn.Sequential(OneByOne(foreign.trained())))
