import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from saq_eval import SaqEvalError, freeze, quantize
from saq_eval.quantization import SCHEMES
from saq_eval.quantization.packing import pack, pack_codes, unpack, unpack_codes


@given(st.data(), st.integers(2, 8), st.lists(st.integers(1, 7), min_size=1, max_size=4))
def test_packing_is_lossless(data, bits, shape):
    count = torch.Size(shape).numel()
    values = data.draw(st.lists(st.integers(0, 2**bits - 1), min_size=count, max_size=count))
    codes = torch.tensor(values, dtype=torch.int32).reshape(shape)
    packed = pack_codes(codes, bits)
    assert packed.dtype == torch.uint8 and packed.numel() == -(-count * bits // 8)
    assert torch.equal(unpack_codes(packed, bits, codes.shape), codes)


@pytest.mark.parametrize("bits", [2, 3, 5, 8, 11, 16])
def test_packing_large_tensors_is_lossless(bits):
    codes = torch.randint(0, 2**bits, (37, 19, 3, 3), dtype=torch.int32, generator=torch.Generator().manual_seed(bits))
    assert torch.equal(unpack_codes(pack_codes(codes, bits), bits, codes.shape), codes)


def test_four_2_bit_codes_to_a_byte():
    assert pack_codes(torch.tensor([1, 2, 3, 0, 2]), 2).tolist() == [0b00_11_10_01, 0b10]


def test_wrong_length():
    with pytest.raises(SaqEvalError, match="9 codes of 4 bits take 5 bytes"):
        unpack_codes(torch.zeros(4, dtype=torch.uint8), 4, torch.Size([3, 3]))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_network_survives_bit_for_bit(cnn, digits, scheme):
    frozen = freeze(quantize(cnn, scheme))
    other = freeze(quantize(cnn, scheme))
    for tensor in other.state_dict().values():
        if tensor.is_floating_point():
            tensor.normal_()
        elif tensor.dim():
            tensor.zero_()
    unpack(other, pack(frozen))
    assert all(torch.equal(other.state_dict()[name], value) for name, value in frozen.state_dict().items())
    assert torch.equal(other(digits.images), frozen(digits.images))


def test_hidden_layers_take_a_sixteenth_at_2_bits(cnn):
    full, packed = pack(freeze(cnn)), pack(freeze(quantize(cnn, "w2a2")))
    for layer in ("conv2", "conv5", "fc1"):
        assert packed[f"{layer}.weight_code"].nbytes * 16 == full[f"{layer}.weight"].nbytes


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t.pop("conv2.bias"), "conv2.bias is missing"),
        (lambda t: t.update({"act1.alpha": torch.tensor(-1.0)}), "act1.alpha is -1.0, not above 0"),
        (lambda t: t.update({"act1.alpha": torch.tensor(float("nan"))}), r"not finite: act1.alpha \(1 of 1\)"),
        (lambda t: t.update(extra=torch.zeros(1)), "extra is not the network's"),
        (lambda t: t.update({"act1.alpha": torch.ones(2)}), r"act1.alpha is torch.float32 \(2,\) instead of"),
        (lambda t: t.update({"conv2.weight_code": torch.zeros(3, dtype=torch.uint8)}), "codes of 4 bits take"),
    ],
)
def test_weights_that_do_not_fit_are_named(cnn, spoil, message):
    tensors = pack(freeze(quantize(cnn, "w4a4")))
    spoil(tensors)
    with pytest.raises(SaqEvalError, match=message):
        unpack(freeze(quantize(cnn, "w4a4")), tensors)
