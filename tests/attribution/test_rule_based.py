"""Methods with a rule for each layer, against references written by hand on the frozen network's own graph."""

import copy
import operator

import pytest
import torch
from captum.attr import DeepLift, GuidedBackprop
from torch import nn

from saq_eval import explain, load_model
from saq_eval.quantization import PACTActivation, SignedPACT

RECTIFIERS = (nn.ReLU, nn.ReLU6)  # PACT among the first


class Rewritten(torch.autograd.Function):
    """A rectifier's output, and another rule for its gradient."""

    @staticmethod
    def forward(ctx, x, rectifier, rule):
        ctx.x, ctx.rectifier, ctx.rule = x, rectifier, rule
        return rectifier(x)

    @staticmethod
    def backward(ctx, grad):
        if ctx.rule == "deconvolution":
            return grad.clamp(min=0), None, None
        with torch.enable_grad():
            x = ctx.x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(ctx.rectifier(x), x, grad)
        return slope.clamp(min=0), None, None


class Rectifier(nn.Module):
    def __init__(self, rectifier, rule):
        super().__init__()
        self.rectifier, self.rule = rectifier, rule

    def forward(self, x):
        return Rewritten.apply(x, self.rectifier, self.rule)


def backward_pass(network, images, targets, rule):
    """The gradient of the logits where every rectifier follows the rule."""
    network = copy.deepcopy(network)
    for name, module in list(network.named_modules()):
        if isinstance(module, RECTIFIERS):
            network.set_submodule(name, Rectifier(module, rule))
    pixels = images.clone().requires_grad_()
    network(pixels).gather(1, targets[:, None]).sum().backward()
    return pixels.grad[:, 0]


@pytest.mark.parametrize("rule", ["guided_backprop", "deconvolution"])
def test_guided_backward_passes(rule, network, digits):
    images, targets = digits.images[:6].double(), digits.labels[:6]
    network = copy.deepcopy(network).double()
    ours = explain(rule, network, images, targets)
    torch.testing.assert_close(ours, backward_pass(network, images, targets, rule).float(), atol=1e-7, rtol=1e-5)
    pixels = images.clone().requires_grad_()
    network(pixels).gather(1, targets[:, None]).sum().backward()
    plain = pixels.grad[:, 0].float()
    assert (ours - plain).norm() > 0.1 * plain.norm()


@pytest.mark.parametrize("rule", ["guided_backprop", "deconvolution"])
@pytest.mark.parametrize("bits", [2, 4])
def test_guided_backward_pass_of_three_layers_by_hand(rule, bits):
    torch.manual_seed(1)
    first, second, last = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 5, 3), nn.Linear(5 * 16, 3)
    act1, act2 = PACTActivation(bits, 0.6), PACTActivation(bits, 0.5)
    network = nn.Sequential(first, act1, second, act2, nn.Flatten(), last).eval()
    image, target = torch.rand(1, 1, 8, 8), 2
    with torch.no_grad():
        before1 = first(image)
        before2 = second(act1(before1))
        signal = last.weight[target].reshape(1, 5, 4, 4)
        for before, alpha, layer in ((before2, 0.5, second), (before1, 0.6, first)):
            linear = (before > 0) & (before < alpha)
            signal = signal.clamp(min=0) * (linear if rule == "guided_backprop" else 1)
            signal = nn.functional.conv_transpose2d(signal, layer.weight)
    ours = explain(rule, network, image, torch.tensor([target]))
    torch.testing.assert_close(ours, signal[:, 0], atol=1e-7, rtol=1e-5)
    assert not torch.allclose(ours.abs(), explain("saliency", network, image, torch.tensor([target])), atol=1e-3)


def test_captum_alone_would_take_a_function_for_a_plain_gradient(batch):
    """What the copy is for: Captum's guided backpropagation does not see a rectifier that is no module."""

    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv2d(1, 4, 3), nn.Linear(4 * 26 * 26, 10)

        def forward(self, x):
            return self.fc(torch.flatten(torch.relu(self.conv(x)), 1))

    torch.manual_seed(0)
    network = Functional().eval()
    images, targets = batch
    pixels = images.clone().requires_grad_()
    network(pixels).gather(1, targets[:, None]).sum().backward()
    captums = GuidedBackprop(network).attribute(images.clone().requires_grad_(), target=targets)
    torch.testing.assert_close(captums, pixels.grad)
    assert not torch.allclose(explain("guided_backprop", network, images, targets), pixels.grad[:, 0], atol=1e-3)


def rise(network, images, targets, references):
    with torch.no_grad():
        network = copy.deepcopy(network).double()
        return (network(images.double()) - network(references.double())).gather(1, targets[:, None])[:, 0]


def test_deeplift_is_complete(network, digits):
    images, targets = digits.images[:24], digits.labels[:24]
    total = explain("deeplift", network, images, targets).double().sum(dim=(1, 2))
    expected = rise(network, images, targets, torch.zeros_like(images))
    # Relative to the largest change, since a logit may happen to change by nothing.
    assert (total - expected).abs().max() <= 1e-4 * expected.abs().max()
    assert ((total - expected).abs() / expected.abs())[expected.abs() > 0.05 * expected.abs().max()].max() <= 1e-3


@pytest.mark.parametrize("name", ["cnn-fp32", "cnn-w4a4", "cnn-w2a2", "cnn-mixed-sgt"])
def test_deeplift_is_complete_on_the_zoos_networks_where_captums_rule_is_not(name, digits):
    network = load_model("digits", name).network
    images, targets = digits.images[:48], digits.labels[:48]
    expected = rise(network, images, targets, torch.zeros_like(images))
    total = explain("deeplift", network, images, targets).double().sum(dim=(1, 2))
    assert ((total - expected).abs() / expected.abs()).max() <= 1e-3
    precise = copy.deepcopy(network).double()
    captums = DeepLift(precise).attribute(images.double().requires_grad_(), target=targets).detach().sum(dim=(1, 2, 3))
    assert ((captums - expected).abs() / expected.abs()).mean() > 1e-2


def test_deeplift_shap_is_the_mean_over_typical_images(network, digits, background):
    images, targets = digits.images[:4], digits.labels[:4]
    maps = explain("deeplift_shap:n_background=3", network, images, targets, background=background)
    expected = sum(rise(network, images, targets, reference.expand_as(images)) for reference in background) / len(
        background
    )
    scale = max(expected.abs().max().item(), maps.abs().sum(dim=(1, 2)).max().item() / 10)
    assert (maps.double().sum(dim=(1, 2)) - expected).abs().max() <= 1e-3 * scale


def stabilised(z, epsilon=1e-6):
    return z + torch.where(z >= 0, epsilon, -epsilon)


def without_bias(layer, weight):
    return lambda x: (
        nn.functional.conv2d(x, weight, None, layer.stride, layer.padding, layer.dilation, layer.groups)
        if isinstance(layer, nn.Conv2d)
        else nn.functional.linear(x, weight)
    )


def redistribute(parts, bias, relevance):
    """Share a layer's relevance among parts, (input, linear map) pairs; returns the inputs' relevance and the bias's share.

    That includes what the stabiliser takes, all of it where nothing reaches an output: z⁺ = 0.
    """
    total = 0
    outputs = []
    for x, function in parts:
        x = x.detach().requires_grad_()
        outputs.append((x, function(x)))
        total = total + outputs[-1][1]
    shape = (1, -1, *(1,) * (relevance.dim() - 2))
    total = total.detach() + (0 if bias is None else bias.reshape(shape))
    share = relevance / stabilised(total)
    received = [x.detach() * torch.autograd.grad(z, x, share)[0] for x, z in outputs]
    kept = share * (stabilised(total) - sum(z.detach() for _, z in outputs))
    absorbed = kept.sum(dim=tuple(range(1, relevance.dim())))
    return received, absorbed


def relevance_by_hand(network, images, targets, convolution):
    """LRP on a frozen network's graph, node by node backwards.

    Returns the pixels' relevance, and per image the sum of what biases and stabilisers absorbed. At every layer, what
    it receives is checked to be what it hands on and what its bias absorbs.
    """
    values = {}
    for node in network.graph.nodes:
        arguments = [values[a] for a in node.all_input_nodes]
        if node.op == "placeholder":
            values[node] = images
        elif node.op == "call_module":
            values[node] = network.get_submodule(node.target)(*arguments)
        elif node.op == "call_function":
            values[node] = node.target(*arguments)
        else:
            (values[node],) = arguments
    logits = values[node]
    relevance = {node: torch.zeros_like(logits).scatter_(1, targets[:, None], 1) * logits}
    absorbed_by_all = torch.zeros(len(images), dtype=torch.float64)
    for node in reversed(network.graph.nodes):
        if node.op == "placeholder":
            return relevance[node][:, 0], absorbed_by_all
        received, absorbed = relevance[node], 0
        inputs = [values[a] for a in node.all_input_nodes]
        layer = network.get_submodule(node.target) if node.op == "call_module" else None
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            x, weight, bias = inputs[0], layer.weight, layer.bias
            if isinstance(layer, nn.Conv2d) and convolution == "zplus":
                parts = [
                    (x.clamp(min=0), without_bias(layer, weight.clamp(min=0))),
                    (x.clamp(max=0), without_bias(layer, weight.clamp(max=0))),
                ]
                shares, absorbed = redistribute(parts, None if bias is None else bias.clamp(min=0), received)
                shares = [sum(shares)]
            else:
                shares, absorbed = redistribute([(x, without_bias(layer, weight))], bias, received)
        elif isinstance(layer, (nn.AvgPool2d, nn.AdaptiveAvgPool2d)):
            shares, absorbed = redistribute([(inputs[0], layer)], None, received)
        elif isinstance(layer, (nn.MaxPool2d, nn.AdaptiveMaxPool2d, nn.Flatten)):
            x = inputs[0].detach().requires_grad_()
            shares = [torch.autograd.grad(layer(x), x, received)[0]]
        elif isinstance(layer, (*RECTIFIERS, SignedPACT)):
            shares = [received]
        elif node.target in (operator.add, operator.iadd, torch.add):
            share = received / stabilised(inputs[0] + inputs[1])
            shares = [x * share for x in inputs]
            absorbed = (received - sum(shares)).flatten(1).sum(1)  # by what keeps from dividing by zero
            assert (absorbed.abs() <= 1e-4 * received.flatten(1).abs().sum(1)).all()
        else:
            assert node.op == "output", node
            shares = [received]
        total = sum(share.flatten(1).sum(1) for share in shares) + absorbed
        scale = received.flatten(1).abs().sum(1) + logits.abs().max()
        assert ((total - received.flatten(1).sum(1)).abs() <= 1e-5 * scale).all(), node
        absorbed_by_all += absorbed
        for operand, share in zip(node.all_input_nodes, shares, strict=True):
            relevance[operand] = relevance.get(operand, 0) + share


@pytest.mark.parametrize(("rule", "convolution"), [("lrp", "zplus"), ("lrp_epsilon", "epsilon")])
def test_relevance_is_redistributed_layer_by_layer(rule, convolution, network, digits):
    images, targets = digits.images[:6].double(), digits.labels[:6]
    precise = copy.deepcopy(network).double()
    expected, absorbed = relevance_by_hand(precise, images, targets, convolution)
    ours = explain(rule, network, images.float(), targets)
    scale = expected.abs().amax(dim=(1, 2), keepdim=True)
    assert ((ours - expected).abs() <= 1e-5 * scale).all()
    logits = precise(images)
    explained = ours.double().sum(dim=(1, 2)) + absorbed
    assert ((explained - logits.gather(1, targets[:, None])[:, 0]).abs() <= 1e-5 * logits.abs().max()).all()


def test_the_epsilon_rule_is_input_x_gradient_on_rectified_networks(digits):
    network = load_model("digits", "cnn-fp32").network
    images, targets = digits.images[:6], digits.labels[:6]
    epsilon, gradient = (explain(method, network, images, targets) for method in ("lrp_epsilon", "input_x_gradient"))
    torch.testing.assert_close(epsilon, gradient, atol=1e-3 * gradient.abs().max().item(), rtol=1e-3)
    composite = explain("lrp", network, images, targets)
    assert (composite / composite.norm() - gradient / gradient.norm()).norm() > 0.3


def test_lrp_parameters(small, batch):
    usual = explain("lrp", small, *batch)
    gamma = explain("lrp:convolution=gamma,gamma=0.5", small, *batch)
    assert not torch.allclose(usual, gamma, atol=1e-3 * usual.abs().max().item())
    coarse = explain("lrp_epsilon:epsilon=0.5", small, *batch)
    assert coarse.abs().sum() < explain("lrp_epsilon", small, *batch).abs().sum()
