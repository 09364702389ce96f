"""Feature maps: which layer of a network has the last ones, and how tokens are read as a map.

A feature map is a layer's output that says where something is:

- (n, k, h, w) of a convolution and of what follows it;
- (n, h, w, k) of a norm or a linear layer that works on the last axis, as in Swin;
- (n, t, k), t tokens of a vision transformer, one for each patch, and up to eight before them (class, distillation and
  register tokens). The patches are square, so their grid has the shape of the image.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn

from saq_eval.attribution import rules
from saq_eval.core.errors import SaqEvalError, Unsupported, unknown_name
from saq_eval.networks.batches import NO_LAYERS, OneByOne

MOST_EXTRA_TOKENS = 8  # DINOv2 with registers has five
_POOLS = (nn.modules.pooling._MaxPoolNd, nn.modules.pooling._AvgPoolNd, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
_UNCHANGED = (*_POOLS, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Identity)
_ON_LAST_AXIS = (nn.LayerNorm, nn.Linear)  # of exactly these classes: a subclass may move the axis first


def feature_map_of(output: Tensor, layer: nn.Module, size: tuple[int, int]) -> Tensor:
    """Return a layer's output, or its gradient, as (n, k, h, w), without the tokens that belong to no patch.

    Args:
        output: (n, k, h, w), (n, h, w, k) or (n, t, k).
        layer: the layer.
        size: height and width of the images.

    Raises:
        SaqEvalError: if the tokens fit no grid of square patches, or several.
    """
    if output.dim() == 3:
        extra, height, width = token_grid(output.shape[1], size)
        return output[:, extra:].unflatten(1, (height, width)).permute(0, 3, 1, 2)
    return output.permute(0, 3, 1, 2) if _is_channels_last(output, layer, size) else output


def token_grid(tokens: int, size: tuple[int, int]) -> tuple[int, int, int]:
    """Return the tokens before the patches, and the patches' grid: (extra, height, width).

    Example: (1, 14, 14) for 197 tokens of an image of 224x224.

    Raises:
        SaqEvalError: if no grid of square patches fits, or several do.
    """
    fitting = []
    for extra in range(min(MOST_EXTRA_TOKENS, tokens - 1) + 1):
        patches = tokens - extra
        side = round((size[0] * size[1] / patches) ** 0.5)
        if side and size[0] % side == size[1] % side == 0 and (size[0] // side) * (size[1] // side) == patches > 1:
            fitting.append((extra, size[0] // side, size[1] // side))
    if len(fitting) != 1:
        found = " or ".join(f"{height}x{width} after {extra} others" for extra, height, width in fitting)
        raise SaqEvalError(
            f"{tokens} tokens of an image of {size[0]}x{size[1]} are "
            + (f"square patches in several ways: {found}" if fitting else "no grid of square patches")
        )
    return fitting[0]


def _is_channels_last(output: Tensor, layer: nn.Module, size: tuple[int, int]) -> bool:
    """Tell whether an output of four axes is (n, h, w, k): by its layer, else by which axes have the image's shape."""
    if type(layer) in _ON_LAST_AXIS:
        return True
    first, second = (height * size[1] == width * size[0] for height, width in (output.shape[1:3], output.shape[2:4]))
    return first and not second


def find_layer(network: nn.Module, image: Tensor, layer: str, method: str) -> nn.Module:
    """Return the layer of that name; for "last", the layer with the last feature map (see `gradcam`).

    Args:
        network: a private network or a graph of its layers.
        image: (1, c, h, w).
        layer: a name, or "last".
        method: the method's name, for messages.

    Raises:
        Unsupported: if the network has no feature map, or it is not clear which is the last.
        SaqEvalError: if there is no such layer, or tokens cannot be read as a map.
    """
    size = (image.shape[2], image.shape[3])
    seen = _outputs(network, image)
    if any(isinstance(module, OneByOne) for module in network.modules()) and any(
        _has_extent(shape, module, size) for module, shape in seen.values()
    ):
        raise Unsupported(NO_LAYERS, who=method)
    if layer != "last":
        named = {name: module for name, (module, shape) in seen.items() if _has_extent(shape, module, size)}
        if layer not in named:
            raise unknown_name("layer with spatial extent", layer, named)
        return named[layer]
    of_transformer = _first_norm_of_last_block(seen)
    if of_transformer is not None:
        return of_transformer
    maps = {name: module for name, (module, shape) in seen.items() if len(shape) == 4 and max(shape[2:]) > 1}
    if maps and not isinstance(network, rules.LayerGraph):
        raise Unsupported(
            "it is not clear which feature map is the last",
            "the network's forward pass depends on its input's values or is not known; "
            f"name a layer, layer=…; valid: {', '.join(maps)}",
            method,
        )
    if isinstance(network, rules.LayerGraph):
        last = _last_feature_map(network, image, method)
        if last is not None:
            return last
    rectifiers = [module for module in maps.values() if isinstance(module, rules.RECTIFIERS)]
    if not rectifiers:
        raise Unsupported("no convolution or rectifier with spatial extent", who=method)
    return rectifiers[-1]


def _has_extent(shape: tuple[int, ...], layer: nn.Module, size: tuple[int, int]) -> bool:
    if len(shape) == 4:
        return max(shape[2:]) > 1
    return len(shape) == 3 and shape[1] > 1


def _outputs(network: nn.Module, image: Tensor) -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    """Return the layers that are used once and the shapes of their outputs, in order of execution, by name."""
    found: dict[str, tuple[nn.Module, tuple[int, ...]]] = {}
    uses: Counter[str] = Counter()

    def note(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        uses[name] += 1
        if isinstance(output, Tensor):
            found[name] = module, tuple(output.shape)

    handles = [
        module.register_forward_hook(functools.partial(note, name))
        for name, module in network.named_modules()
        if not any(module.children()) and not isinstance(module, (*rules.HELPERS, torch.jit.ScriptModule))
    ]
    try:
        network(image)
    finally:
        for handle in handles:
            handle.remove()
    return {name: entry for name, entry in found.items() if uses[name] == 1}


def _first_norm_of_last_block(seen: Mapping[str, tuple[nn.Module, tuple[int, ...]]]) -> nn.Module | None:
    """Return the first norm of a transformer's last block; `None` if the network ends with convolutions or has no blocks.

    A block is a module with two layer norms or more of its own that see tokens, (n, t, k) or (n, h, w, k).
    """
    blocks: dict[str, list[nn.Module]] = {}
    for name, (module, shape) in seen.items():
        if isinstance(module, nn.Conv2d) and max(shape[2:]) > 1:
            blocks = {}
        elif isinstance(module, nn.LayerNorm) and len(shape) in (3, 4) and max(shape[1:-1]) > 1:
            blocks.setdefault(name.rpartition(".")[0], []).append(module)
    full = [norms for norms in blocks.values() if len(norms) > 1]
    return full[-1][0] if full else None


def _last_feature_map(network: rules.LayerGraph, image: Tensor, method: str) -> nn.Module | None:
    """Return the last layer after the last convolution whose output has the convolution's extent; `None` without one.

    Poolings and what does nothing in eval mode do not count. If a function, such as a sum, is the last, a module that
    does nothing is put behind it, in place, and returned.

    Raises:
        Unsupported: if attention follows, so that the convolution may only cut the image into patches.
    """
    last: fx.Node | None = None
    extent: tuple[int, ...] = ()
    attention = False
    for node, output in _values(network, image):
        shape = tuple(output.shape) if isinstance(output, Tensor) else ()
        module = network.get_submodule(str(node.target)) if node.op == "call_module" else None
        attention |= isinstance(module, nn.MultiheadAttention) or _is_attention(node, module, shape)
        if len(shape) != 4 or max(shape[2:]) == 1 or isinstance(module, (*_UNCHANGED, *rules.HELPERS)):
            continue
        if isinstance(module, nn.Conv2d):
            last, extent, attention = node, shape[2:], False
        elif last is not None and shape[2:] == extent:
            last = node
    if last is None:
        return None
    if attention:
        advice = "attention follows the last convolution, by layers without two layer norms in a block; name a layer, layer=…"
        raise Unsupported("it is not clear which feature map is the last", advice, method)
    return network.get_submodule(str(last.target)) if last.op == "call_module" else network.behind(last)


def _is_attention(node: fx.Node, module: nn.Module | None, shape: tuple[int, ...]) -> bool:
    name = getattr(node.target, "__name__", str(node.target))
    softmax = isinstance(module, nn.Softmax) or (module is None and name == "softmax")
    return name == "scaled_dot_product_attention" or (softmax and len(shape) > 2)


def _values(network: rules.LayerGraph, image: Tensor) -> Iterator[tuple[fx.Node, Any]]:
    """Yield the nodes of a graph and their values for an image, in order of execution."""
    interpreter = fx.Interpreter(network, garbage_collect_values=False)
    interpreter.run(image.clone())
    for node in network.graph.nodes:
        if node.op in ("call_module", "call_function", "call_method"):
            yield node, interpreter.env[node]
