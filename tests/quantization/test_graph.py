"""Which networks can be converted, and what is said of the others."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from saq_eval import SaqEvalError, freeze, quantize
from saq_eval.quantization import PACTActivation


def test_functions_and_modules_of_one_name_stay_apart(digits):
    class Colliding(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.last = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(4 * 24 * 24, 10)
            self.relu, self.flatten = nn.ReLU6(), nn.Flatten()

        def forward(self, x):
            x = F.relu(self.first(x))
            return self.last(torch.flatten(self.relu(self.second(x)), 1))

    images = digits.images[:8] * 30  # so that ReLU6 clips
    network = Colliding().eval()
    torch.testing.assert_close(freeze(network)(images), network(images), atol=1e-4, rtol=1e-4)
    rectifiers = [m for m in quantize(network, "w4a4").modules() if isinstance(m, PACTActivation)]
    assert sorted((m.bits, m.alpha.item()) for m in rectifiers) == [(4, 10.0), (8, 6.0)]


def test_batch_norm_without_running_statistics_is_named():
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.ReLU(), nn.Flatten())
    with pytest.raises(SaqEvalError, match=r"1 \(BatchNorm2d without running statistics\)"):
        freeze(network)


def test_everything_unsupported_is_named_at_once():
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.GELU(), nn.Flatten(), nn.LSTM(3, 3), nn.Linear(4, 2))
    with pytest.raises(SaqEvalError, match=r"cannot convert .*1 \(GELU\), 3 \(LSTM\)"):
        quantize(network, "w4a4")


class Functions(nn.Module):
    """Pooling, dropout and reshaping as functions and methods, group norm."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.last = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 8, 3), nn.Linear(32, 10)
        self.norm = nn.GroupNorm(2, 4)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.norm(self.first(x))), 2, stride=3, padding=1)
        x = F.dropout(F.relu6(self.second(x)), 0.3, training=self.training)
        x = F.adaptive_avg_pool2d(F.avg_pool2d(x, kernel_size=2), (2, 2))
        return self.last(x.view(x.size(0), -1))


def test_functions_become_modules(digits):
    network, images = Functions().eval(), digits.images[:16]
    with torch.no_grad():
        torch.testing.assert_close(freeze(network)(images), network(images), atol=1e-5, rtol=0)
        twin = quantize(network, "w4a4")
        torch.testing.assert_close(freeze(twin)(images), twin(images), atol=1e-5, rtol=0)
        twin.train()
        assert not torch.equal(twin(images), twin(images))  # dropout follows the mode
    kinds = {type(module) for module in freeze(twin).children()}
    assert nn.GroupNorm in kinds and nn.MaxPool2d in kinds and nn.Flatten in kinds and nn.Dropout not in kinds


@pytest.mark.parametrize("reshape", [lambda x: x.view(x.shape[0], -1), lambda x: x.reshape((x.size()[0], -1))])
def test_ways_to_flatten(reshape):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv2d(1, 2, 3), nn.Linear(8, 2)

        def forward(self, x):
            return self.fc(reshape(F.relu(self.conv(x))))

    x = torch.randn(3, 1, 4, 4)
    network = Net()
    torch.testing.assert_close(freeze(network)(x), network(x))


def test_other_reshaping_is_named():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv2d(1, 2, 3), nn.Linear(4, 2)

        def forward(self, x):
            return self.fc(F.relu(self.conv(x)).view(-1, 4))

    with pytest.raises(SaqEvalError, match=r"view \(view\)"):
        quantize(Net(), "w4a4")


def test_a_shared_layer_is_an_error():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            return self.layer(self.layer(x))

    with pytest.raises(SaqEvalError, match=r"layer \(used more than once\)"):
        quantize(Shared(), "w4a4")


def test_control_flow_on_the_input_is_an_error():
    class Branching(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(SaqEvalError, match="depends on its input"):
        quantize(Branching(), "w4a4")


def test_other_hooks_are_refused_by_name():
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(400, 10))
    network[0].register_forward_hook(lambda module, inputs, output: 2 * output)
    for convert in (freeze, lambda network: quantize(network, "w4a4")):
        with pytest.raises(SaqEvalError, match="would lose the hooks of 0; remove them first"):
            convert(network)


def test_a_long_list_of_unsupported_parts_is_shortened():
    layers = [layer for _ in range(5) for layer in (nn.Linear(2, 2), nn.SiLU())]
    with pytest.raises(SaqEvalError, match=r"parts of the network: 1 \(SiLU\), 3 \(SiLU\), 5 \(SiLU\) and 2 more$"):
        freeze(nn.Sequential(*layers))
