"""What every method refuses, and what it never does to the user's network."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from saq_eval import SaqEvalError, explain, load_model
from saq_eval.attribution import METHODS
from saq_eval.networks.private import gradient_reaches
from tests.attribution.conftest import cheap
from tests.conftest import settle

IMAGES = torch.rand(4, 1, 12, 12, generator=torch.Generator().manual_seed(2))
TARGETS = torch.tensor([0, 1, 2, 3])
HIDING = [name for name, method in METHODS.items() if method.family == "perturbation"]
BY_GRADIENTS = [name for name, method in METHODS.items() if method.family == "gradient"]


def function(name, forward):
    """A module that computes a function of its input."""
    return type(name, (nn.Module,), {"forward": lambda self, x: forward(x)})()


def network_with(*layers, after=()):
    """A convolution, some layers, a linear layer, and some after it: logits of five classes for images 12x12."""
    torch.manual_seed(5)
    first, last = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(4 * 144, 5)
    return nn.Sequential(first, nn.ReLU(), *layers, nn.Flatten(), last, *after).eval()


def maps(method, network, images=IMAGES, targets=TARGETS, **arguments):
    spec = "occlusion:window=6,stride=6" if method == "occlusion" else cheap(method)
    fitting = isinstance(images, torch.Tensor) and images.dim() == 4 and images.is_floating_point()
    background = images[:2] if fitting else IMAGES[:2]
    return explain(spec, network, images, targets, background=background, **arguments)


def test_a_network_in_train_mode_is_explained_in_eval_mode_and_stays_what_it_is(method):
    layers = [] if METHODS[method].layers and "lrp" in method else [nn.BatchNorm2d(4)]  # which LRP has no rule for
    network = settle(network_with(*layers, nn.Dropout(0.4)), IMAGES)
    expected = maps(method, network)
    network.train()
    network[-1].eval()  # as where a part is kept from training
    for parameter in list(network.parameters())[:2]:
        parameter.requires_grad_(False)
    modes = {name: module.training for name, module in network.named_modules()}
    wanting = {name: parameter.requires_grad for name, parameter in network.named_parameters()}
    before = copy.deepcopy(network.state_dict())
    assert torch.equal(maps(method, network), expected)
    assert {name: module.training for name, module in network.named_modules()} == modes
    assert {name: parameter.requires_grad for name, parameter in network.named_parameters()} == wanting
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (torch.tensor([0, 1, 2, -1]), "targets are classes, counted from 0, not -1"),
        (torch.tensor([0, 1, 2, 5]), "targets lie between 0 and 4 for this network, not 5"),
        (torch.tensor([0.0, 1.0, 2.0, 3.0]), r"targets are a tensor of integers \(n,\), not torch.float32 \(4,\)"),
        (torch.tensor([[0], [1], [2], [3]]), r"targets are a tensor of integers \(n,\), not torch.int64 \(4, 1\)"),
        ([0, 1, 2, 3], r"targets are a tensor of integers \(n,\), not \[0, 1, 2, 3\]"),
    ],
)
def test_targets_that_are_no_classes(targets, message, method):
    with pytest.raises(SaqEvalError, match=message):
        maps(method, network_with(), targets=targets)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES[0], r"images are a floating-point tensor \(n, c, h, w\) .* not torch.float32 \(1, 12, 12\)"),
        ((255 * IMAGES).to(torch.uint8), "images are a floating-point tensor .* not torch.uint8"),
        (IMAGES.numpy(), "images are a floating-point tensor .* not a ndarray"),
        (IMAGES[:, :, :, :0], r"images of shape \(4, 1, 12, 0\) have no pixels"),
        (IMAGES / 0, "images hold pixels that are not finite"),
        (torch.where(IMAGES > 0.99, torch.nan, IMAGES), "images hold pixels that are not finite"),
        (
            IMAGES[:, :, :8],
            r"network Sequential cannot read images torch.float32 \(2, 1, 8, 12\) on cpu: RuntimeError: mat1",
        ),
    ],
)
def test_images_that_are_none(images, message, method):
    with pytest.raises(SaqEvalError, match=message):
        maps(method, network_with(), images, TARGETS[: len(images)])


def test_background_that_does_not_go_with_the_images():
    for background in (torch.rand(2, 3, 12, 12), torch.rand(2, 1, 10, 12)):
        with pytest.raises(SaqEvalError, match="background images have the images' shape"):
            explain("deeplift_shap", network_with(), IMAGES, TARGETS, background=background)


class Outputs(nn.Module):
    def __init__(self, wrap):
        super().__init__()
        self.network, self.wrap = network_with(), wrap

    def forward(self, x):
        return self.wrap(self.network(x))


@pytest.mark.parametrize(
    ("wrap", "message"),
    [
        (
            lambda y: (y, y[:, :3]),
            r"a tuple of 2: \(2, 5\), \(2, 3\), not a tensor of logits .*: wrap it in a module whose",
        ),
        (lambda y: (y[:, :, None, None], y), r"returns a tuple of 2: \(2, 5, 1, 1\), \(2, 5\), not a tensor"),
        (lambda y: {"scores": y, "aux": y}, "returns a dict with 'scores', 'aux', not a tensor"),
        (lambda y: type("Output", (), {"scores": y})(), "returns a Output, not a tensor"),
        (lambda y: [], "returns a list of 0, not a tensor"),
        (lambda y: y[:, :, None], r"returns torch.float32 \(2, 5, 1\), not floating-point logits"),
        (lambda y: y.argmax(dim=1), r"returns torch.int64 \(2,\), not floating-point logits"),
        (lambda y: y.sum(dim=0, keepdim=True), r"returns \(1, 5\) for 2 images, not logits"),
        (lambda y: y / 0, "logits are not finite"),
    ],
)
def test_networks_that_return_no_logits(wrap, message, method):
    with pytest.raises(SaqEvalError, match=message):
        maps(method, Outputs(wrap).eval())


def test_logits_that_are_not_finite_for_a_later_image():
    network = network_with(
        function("Root", lambda x: torch.log(x + 1e-30).clamp(min=-1e30) * (x.amax() < 9) / (x.amax() < 9))
    )
    images = IMAGES.clone()
    images[3] *= 1000
    with pytest.raises(SaqEvalError, match="logits are not finite"):
        explain("occlusion:window=6,stride=6", network, images, TARGETS, batch_size=2)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu", torch.bfloat16)])
def test_the_mode_around_a_call_changes_nothing(mode, method):
    network = network_with()
    expected = maps(method, network)
    with mode():
        assert torch.equal(maps(method, network), expected)
        assert torch.equal(maps(method, network, IMAGES.clone(), TARGETS.clone()), expected)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_a_network_in_half_precision_is_explained_in_single_precision(half, method):
    network = network_with().to(half)
    ours = maps(method, network, IMAGES.to(half))
    assert network[0].weight.dtype == half
    if method != "random":  # which is another for other weights, and sees these as other
        torch.testing.assert_close(ours, maps(method, copy.deepcopy(network).float(), IMAGES.to(half).float()))


def test_images_take_the_networks_precision(method):
    double = network_with().double()
    torch.testing.assert_close(maps(method, double, IMAGES), maps(method, double, IMAGES.double()))
    assert double[0].weight.dtype == torch.float64


@pytest.mark.parametrize("where", ["entrance", "entrance, as a function", "middle"])
def test_networks_may_work_in_place(where, method):
    if where == "entrance, as a function" and METHODS[method].layers:
        pytest.skip("has no rule for the function")
    spoils = {"entrance": nn.ReLU(inplace=True), "middle": nn.Identity()}
    enters = spoils.get(where, function("Halves", lambda x: x.mul_(0.5)))
    network = nn.Sequential(enters, network_with(nn.ReLU(inplace=True))).eval()
    scale = 0.5 if "function" in where else 1.0
    harmless = nn.Sequential(nn.ReLU() if where == "entrance" else nn.Identity(), network_with(nn.ReLU())).eval()
    images = IMAGES.clone()
    ours = maps(method, network, images)
    assert torch.equal(images, IMAGES)
    if scale == 1.0 and method != "random":
        torch.testing.assert_close(ours, maps(method, harmless))
    if scale == 0.5 and method == "occlusion":
        torch.testing.assert_close(ours, maps(method, harmless, 0.5 * images))


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, nn.SyncBatchNorm])
def test_batch_norm_without_running_statistics_is_refused_by_name(norm, method):
    network = network_with(norm(4, track_running_stats=False))
    for batch_size in (1, 64):
        with pytest.raises(
            SaqEvalError, match=rf"mixes the images of a batch: .* in 2 \({norm.__name__}\); train it with"
        ):
            maps(method, network, batch_size=batch_size)


@pytest.mark.parametrize(
    "mix",
    [
        lambda x: x - x.mean(dim=0, keepdim=True),
        lambda x: nn.functional.batch_norm(x, None, None, training=True),
        lambda x: x / x.amax(),
    ],
)
def test_whatever_mixes_images_is_refused(mix, method):
    with pytest.raises(SaqEvalError, match="the logits of one image depend on the others"):
        maps(method, network_with(function("Mixes", mix)))


@pytest.mark.parametrize("layer", [nn.GroupNorm(2, 4), nn.InstanceNorm2d(4), nn.BatchNorm2d(4), nn.Softmax(dim=1)])
def test_what_looks_at_one_image_alone_is_not(layer):
    assert explain("saliency", network_with(layer), IMAGES, TARGETS).any()


@pytest.mark.parametrize("name", BY_GRADIENTS)
@pytest.mark.parametrize("cut", [torch.round, lambda x: x.detach(), lambda x: (x > 0.1).float(), lambda x: (9 * x).int() / 9])  # fmt: skip  # noqa: E501
def test_gradients_that_do_not_reach_the_image(cut, name):
    network = network_with(function("Cuts", cut))
    with pytest.raises(SaqEvalError) as error:
        maps(name, network)
    message = str(error.value)
    assert message.startswith(f"{name}: no gradient reaches the image; ")
    assert message.endswith(f"need none: {', '.join(HIDING)}")
    for advised in HIDING:
        assert maps(advised, network).any()


def test_a_gradient_that_happens_to_be_zero_is_one():
    clipped = network_with(function("Low", lambda x: x - 100), nn.ReLU())
    assert not maps("saliency", clipped).any()
    through = network_with(function("Straight", lambda x: x + (torch.round(x) - x).detach()))
    assert maps("saliency", through).any()

    class RoundSTE(torch.autograd.Function):
        """Straight through, under a name that begins as a function in steps does."""

        @staticmethod
        def forward(ctx, x):
            return x.round()

        @staticmethod
        def backward(ctx, gradient):
            return gradient

    assert maps("saliency", network_with(function("Steps", RoundSTE.apply))).any()
    x = torch.rand(3, requires_grad=True)
    assert gradient_reaches(x.round() + x, x) and not gradient_reaches(x.round() + x.floor(), x)
    assert not gradient_reaches(x.detach() * 2, x)


def test_networks_whose_weights_are_computed(method):
    network = network_with()
    prune.l1_unstructured(network[0], "weight", 0.3)
    parametrizations.weight_norm(network[3])
    network(IMAGES)  # which leaves computed weights on the layers
    before = copy.deepcopy(network.state_dict())
    ours = maps(method, network)
    permanent = copy.deepcopy(network_with())
    with torch.no_grad():
        permanent[0].weight.copy_(network[0].weight)
        permanent[3].weight.copy_(network[3].weight)
    if method != "random":  # which is another for other tensors
        torch.testing.assert_close(ours, maps(method, permanent))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.filterwarnings("ignore")  # that torch.ao will move
def test_scripted_networks_and_kernels_of_integers():
    plain = network_with()
    traced = torch.jit.trace(plain, IMAGES)
    for name in ("saliency", "integrated_gradients", "occlusion", "rise", "random"):
        torch.testing.assert_close(maps(name, traced), maps(name, plain))
    for name in ("gradcam", "lrp"):
        with pytest.raises(SaqEvalError):
            maps(name, traced)
    integers = torch.ao.quantization.quantize_dynamic(network_with(), {nn.Linear}, dtype=torch.qint8)
    for name in (*HIDING, "random", "edges"):
        assert maps(name, integers).any()
    for name in BY_GRADIENTS:
        with pytest.raises(SaqEvalError, match="no gradient reaches"):
            maps(name, integers)
    with pytest.raises(SaqEvalError, match="reads one image at a time"):  # its scales are those of a whole batch
        maps("gradcam", integers)


def test_what_is_no_network():
    model = load_model("digits", "cnn-fp32")
    with pytest.raises(
        SaqEvalError, match="a network is a torch.nn.Module or a function .*, not .*: give its `network`"
    ):
        explain("saliency", model, IMAGES, TARGETS)
    for thing, shown in ((3, "3"), (nn.Linear, "the type Linear"), (None, "None")):
        with pytest.raises(SaqEvalError, match=f"a function of images that returns logits, not {shown}$"):
            explain("saliency", thing, IMAGES, TARGETS)
