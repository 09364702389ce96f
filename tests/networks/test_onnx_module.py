import copy

import cloudpickle
import numpy as np
import pytest
import torch

from saq_eval import SaqEvalError
from saq_eval.networks.onnx_module import OnnxFacts, OnnxModule, open_session
from tests.networks.onnx_graphs import graph, logits_of

FACTS = OnnxFacts("pixels", "logits", "float32", "nchw", None, False)


@pytest.fixture
def images():
    return torch.rand(5, 3, 8, 8)


def module(**changes) -> OnnxModule:
    content = graph(**changes).SerializeToString()
    return OnnxModule(content, FACTS, "network.onnx").eval()


def test_logits_are_those_of_the_graph_and_have_no_gradient(images):
    network = module()
    logits = network(images.requires_grad_())
    assert logits.dtype == torch.float32 and not logits.requires_grad
    assert torch.allclose(logits, logits_of(images), atol=1e-5)


def test_a_fixed_batch_is_filled_and_its_surplus_dropped(images):
    for batch in (1, 2, 8):
        content = graph(shape=[batch, 3, 8, 8]).SerializeToString()
        network = OnnxModule(content, OnnxFacts("pixels", "logits", "float32", "nchw", batch, False), "n")
        assert torch.allclose(network(images), logits_of(images), atol=1e-5), batch


def test_axes_and_types_are_those_that_the_graph_reads(images):
    content = graph(shape=["n", 8, 8, 3], nhwc=True).SerializeToString()
    network = OnnxModule(content, OnnxFacts("pixels", "logits", "float32", "nhwc", None, False), "n")
    assert torch.allclose(network(images), logits_of(images), atol=1e-5)
    content = graph(dtype="uint8").SerializeToString()
    whole = OnnxModule(content, OnnxFacts("pixels", "logits", "uint8", "nchw", None, False), "n")
    levels = torch.tensor([-3.0, 0.4, 0.6, 254.4, 300.0]).reshape(5, 1, 1, 1).expand(5, 3, 8, 8)
    rounded = torch.tensor([0.0, 0.0, 1.0, 254.0, 255.0]).reshape(5, 1, 1, 1).expand(5, 3, 8, 8)
    assert torch.allclose(whole(levels), logits_of(rounded), atol=1e-3)


def test_a_copy_shares_the_session_and_a_pickle_carries_the_content(images):
    network = module()
    twin = copy.deepcopy(network)
    assert twin._session is network._session and not twin.training
    elsewhere = cloudpickle.loads(cloudpickle.dumps(network))
    assert elsewhere._session is not network._session and not elsewhere.training
    assert torch.equal(network(images), twin(images)) and torch.equal(network(images), elsewhere(images))
    assert "network.onnx, nchw, float32" in repr(network)


def test_a_session_computes_on_one_thread_and_a_bad_graph_gets_a_sentence():
    options = open_session(graph().SerializeToString(), "n").get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)
    wrong = graph()
    wrong.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(SaqEvalError, match="n: ONNX Runtime cannot open the network: .*NoSuchOperator"):
        open_session(wrong.SerializeToString(), "n")


def test_logits_do_not_depend_on_the_batch_where_a_scale_is_that_of_all_images(images):
    """The image that is 50 times as bright would set the scale of the others."""
    content = graph(dynamic=True).SerializeToString()
    bright = torch.cat([images[:2], 50 * images[2:3]])
    together = OnnxModule(content, FACTS, "n")
    apart = OnnxModule(content, OnnxFacts("pixels", "logits", "float32", "nchw", None, True), "n")
    alone = np.concatenate([together(image[None]).numpy() for image in bright])
    assert np.array_equal(apart(bright).numpy(), alone)
    assert not np.array_equal(together(bright).numpy(), alone)
