"""A network in ONNX Runtime as a torch module: logits only, no gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from saq_eval.core.errors import SaqEvalError
from saq_eval.core.extras import import_extra

Layout = Literal["nchw", "nhwc"]


@dataclass(frozen=True)
class OnnxFacts:
    """How a network in ONNX is called.

    Attributes:
        input, output: the names of the input and of the output that is read.
        dtype: NumPy's name of the input's type; "uint8" inputs read whole numbers from 0 to 255.
        layout: the order of the input's axes.
        batch: the number of images that every run reads; `None` if it is free.
        one_by_one: whether the logits of an image would depend on the others of its batch.
    """

    input: str
    output: str
    dtype: str
    layout: Layout
    batch: int | None
    one_by_one: bool


class OnnxModule(nn.Module):
    """Runs a network by ONNX Runtime on the CPU, on one thread: float32 (n, c, h, w) -> logits, float32 (n, classes).

    Sums depend on the number of threads, hence one. Copies share the runtime's session; a pickle holds the file's
    content, so that another process can open a session of its own. No gradient flows.

    Args:
        content: the file's content, with all weights in it.
        facts: how the network is called.
        name: the file's name, for messages.

    Raises:
        SaqEvalError: if ONNX Runtime is not installed or refuses the file.
    """

    def __init__(self, content: bytes, facts: OnnxFacts, name: str) -> None:
        super().__init__()
        self.content, self.facts, self.name = content, facts, name
        self._session = open_session(content, name)

    def forward(self, x: Tensor) -> Tensor:
        pixels = x.detach().cpu().numpy()
        if self.facts.dtype == "uint8":
            pixels = pixels.round().clip(0, 255)
        if self.facts.layout == "nhwc":
            pixels = pixels.transpose(0, 2, 3, 1)
        pixels = np.ascontiguousarray(pixels.astype(self.facts.dtype))
        size = 1 if self.facts.one_by_one else self.facts.batch or len(pixels)
        runs = [self._run(pixels[start : start + size]) for start in range(0, len(pixels), size)]
        return torch.from_numpy(np.concatenate(runs).astype(np.float32)).to(x.device)

    def _run(self, pixels: np.ndarray) -> np.ndarray:
        given = len(pixels)
        if self.facts.batch is not None and given < self.facts.batch:
            pixels = np.concatenate([pixels, np.repeat(pixels[-1:], self.facts.batch - given, axis=0)])
        (logits,) = self._session.run([self.facts.output], {self.facts.input: pixels})
        if len(logits) != len(pixels):
            raise SaqEvalError(
                f"{self.name}: the network returns {logits.shape} for {len(pixels)} images, not logits (n, classes)"
            )
        return logits[:given]

    def __deepcopy__(self, memo: dict[int, Any]) -> OnnxModule:
        twin = type(self).__new__(type(self))
        nn.Module.__init__(twin)
        twin.training = self.training
        twin.content, twin.facts, twin.name, twin._session = self.content, self.facts, self.name, self._session
        return twin

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "_session"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._session = open_session(self.content, self.name)

    def extra_repr(self) -> str:
        return f"{self.name}, {self.facts.layout}, {self.facts.dtype}"


def open_session(content: bytes, name: str) -> Any:
    """Open a session of ONNX Runtime on the CPU that computes on one thread; raises `SaqEvalError`."""
    onnxruntime = import_extra("onnxruntime", "onnx", "a network in ONNX")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what fails is raised; the rest is for developers of the runtime
    try:
        # The fallback would print that it tries the same once more.
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    except Exception as error:  # the runtime has many kinds of errors, with one base
        reason = " ".join(str(error).split())
        raise SaqEvalError(f"{name}: ONNX Runtime cannot open the network: {reason}") from error
