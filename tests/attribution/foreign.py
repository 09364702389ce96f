"""Networks that other tools have quantized, and architectures of other libraries, small and quick to make."""

from __future__ import annotations

import copy
import functools
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

IMAGES = torch.rand(16, 1, 12, 12, generator=torch.Generator().manual_seed(2))
LABELS = torch.arange(16) % 5
PICTURES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))


def _fit(network: nn.Module) -> nn.Module:
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(10):
        optimizer.zero_grad()
        F.cross_entropy(network(IMAGES), LABELS).backward()
        optimizer.step()
    return network.eval()


@functools.cache
def _trained() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()]
        return _fit(nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * 36, 32), nn.ReLU(), nn.Linear(32, 5)))


def trained() -> nn.Module:
    """Return a network that has been trained for ten steps, (n, 1, 12, 12) -> (n, 5)."""
    return copy.deepcopy(_trained())


def by_torchao(kind: str) -> nn.Module:
    import torchao.quantization

    network = trained()
    torchao.quantization.quantize_(network, getattr(torchao.quantization, kind)())
    return network


def by_fx() -> nn.Module:
    from torch.ao.quantization import get_default_qconfig_mapping
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

    prepared = prepare_fx(trained(), get_default_qconfig_mapping("x86"), (IMAGES,))
    prepared(IMAGES)
    return convert_fx(prepared)


def exported() -> nn.Module:
    size = torch.export.Dim("n", min=1, max=512)
    return torch.export.export(trained(), (IMAGES,), dynamic_shapes=({0: size},)).module()


def by_pt2e() -> nn.Module:
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    quantizer = x86.X86InductorQuantizer().set_global(x86.get_default_x86_inductor_quantization_config())
    prepared = prepare_pt2e(exported(), quantizer)
    prepared(IMAGES)
    return convert_pt2e(prepared)


def by_brevitas() -> nn.Module:
    from brevitas import nn as qnn

    with torch.random.fork_rng():
        torch.manual_seed(0)
        first = [
            qnn.QuantIdentity(),
            qnn.QuantConv2d(1, 8, 3, padding=1, weight_bit_width=4),
            qnn.QuantReLU(bit_width=4),
        ]
        return _fit(nn.Sequential(*first, nn.Flatten(), qnn.QuantLinear(8 * 144, 5, bias=True, weight_bit_width=4)))


def by_onnxruntime(folder: Path) -> Callable[[Tensor], object]:
    """Return a function that runs an integer network and returns an array."""
    import onnxruntime
    from onnxruntime.quantization import QuantType, quantize_dynamic

    plain, integers = folder / "plain.onnx", folder / "integers.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        axes = {"x": {0: "n"}, "y": {0: "n"}}
        torch.onnx.export(
            trained(), (IMAGES[:1],), plain, input_names=["x"], output_names=["y"], dynamic_axes=axes, dynamo=False
        )
    quantize_dynamic(plain, integers, weight_type=QuantType.QUInt8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(integers, options, providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {"x": images.numpy()})


def _varied(network: nn.Module) -> nn.Module:
    """Draw all weights: torchvision's transformers begin with a last layer of zeros."""
    generator = torch.Generator().manual_seed(4)
    for parameter in network.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.2, generator=generator)
    return network.eval()


def vit() -> nn.Module:
    from torchvision.models import VisionTransformer

    sizes = {"num_layers": 2, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 32}
    return _varied(VisionTransformer(image_size=32, patch_size=8, num_classes=5, **sizes))


def timm_vit() -> nn.Module:
    import timm

    sizes = {"img_size": 32, "patch_size": 8, "depth": 2, "embed_dim": 16, "num_heads": 2}
    return _varied(timm.create_model("vit_tiny_patch16_224", num_classes=5, **sizes))


def swin() -> nn.Module:
    from torchvision.models import SwinTransformer

    sizes = {"patch_size": [4, 4], "embed_dim": 12, "depths": [1, 1], "num_heads": [2, 2], "window_size": [4, 4]}
    return _varied(SwinTransformer(num_classes=5, **sizes))


def convnext() -> nn.Module:
    from torchvision.models.convnext import CNBlockConfig, ConvNeXt

    return _varied(ConvNeXt([CNBlockConfig(8, 12, 1), CNBlockConfig(12, None, 1)], num_classes=5))


def efficientnet() -> nn.Module:
    from torchvision.models.efficientnet import EfficientNet, MBConvConfig

    return _varied(EfficientNet([MBConvConfig(2, 3, 2, 8, 8, 1)], dropout=0.1, num_classes=5))


def mobilenet() -> nn.Module:
    from torchvision.models.mobilenetv3 import InvertedResidualConfig, MobileNetV3

    return _varied(MobileNetV3([InvertedResidualConfig(16, 3, 16, 16, True, "HS", 2, 1, 1)], 32, num_classes=5))


def densenet() -> nn.Module:
    from torchvision.models import DenseNet

    return _varied(DenseNet(growth_rate=4, block_config=(1, 1), num_init_features=8, num_classes=5))
