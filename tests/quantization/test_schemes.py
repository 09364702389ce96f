import pytest

from saq_eval import Bits, SaqEvalError, Scheme, quantize
from saq_eval.quantization import QUANTIZERS, SAWB, SCHEMES, DoReFa, load_scheme

LAYERS = ["conv1", "conv2", "conv3", "conv4", "conv5", "fc1", "fc2"]


def widths(scheme, layers=LAYERS):
    return [(b.weight_bits, b.activation_bits) for b in scheme.assign(layers).values()]


def test_named_schemes_keep_first_and_last_layer_at_8_bits():
    assert widths(SCHEMES["fp32"]) == [(32, 32)] * 7
    assert widths(SCHEMES["w4a4"]) == [(8, 8)] + [(4, 4)] * 5 + [(8, 8)]
    assert widths(SCHEMES["w2a2"]) == [(8, 8)] + [(2, 2)] * 5 + [(8, 8)]
    assert widths(SCHEMES["w8a8"]) == [(8, 8)] * 7
    assert widths(SCHEMES["w4a2"]) == [(8, 8)] + [(4, 2)] * 5 + [(8, 8)]


def test_mixed_gives_the_later_half_of_the_hidden_layers_2_bits():
    assert widths(SCHEMES["mixed"]) == [(8, 8)] + [(4, 4)] * 3 + [(2, 2)] * 2 + [(8, 8)]
    assert widths(SCHEMES["mixed"], ["a", "b", "c", "d"]) == [(8, 8), (4, 4), (2, 2), (8, 8)]


def test_overrides_come_first():
    scheme = Scheme(
        "x", Bits(4, 4), Bits(8, 8), later=Bits(2, 2), overrides={"fc1": Bits(3, 5), "conv[12]": Bits(6, 6)}
    )
    assert widths(scheme) == [(6, 6), (6, 6), (4, 4), (4, 4), (2, 2), (3, 5), (8, 8)]


def test_a_scheme_without_a_hidden_layer_to_touch_says_so():
    said = SCHEMES["w4a4"].unused(["conv", "fc"])
    assert said.startswith("scheme 'w4a4' touches no hidden layer") and said.endswith("conv 8/8, fc 8/8")
    assert SCHEMES["w4a4"].unused(["conv", "hidden", "fc"]) is None
    assert SCHEMES["w8a8"].unused(["conv", "fc"]) is None and SCHEMES["fp32"].unused(["fc"]) is None


def test_an_override_that_matches_nothing_is_an_error():
    scheme = Scheme("x", Bits(4, 4), Bits(8, 8), overrides={"conv9": Bits(2, 2)})
    with pytest.raises(SaqEvalError, match=r"'conv9'.* none of the layers conv1, conv2"):
        scheme.assign(LAYERS)


@pytest.mark.parametrize("width", [0, 1, 17, 31, 64, 4.5, "4", True])
def test_a_bit_width_out_of_range(width):
    with pytest.raises(SaqEvalError, match="a bit width is"):
        Bits(width, 4)


def test_a_scheme_from_a_file(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(
        "name: mine\n"
        "default: {weight_bits: 3, activation_bits: 4}\n"
        "ends: {weight_bits: 8, activation_bits: 8}\n"
        "overrides: {conv2: {weight_bits: 2, activation_bits: 2}}\n"
    )
    assert load_scheme(str(file)) == Scheme("mine", Bits(3, 4), Bits(8, 8), overrides={"conv2": Bits(2, 2)})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x\ndefault: {weight_bits: 3, activation_bits: 4}\n", "ends: field required"),
        ("name: x\nbits: 3\n", "default: field required"),
        ("[1, 2", "cannot be read as YAML"),
        (
            "name: x\ndefault: {weight_bits: 1, activation_bits: 4}\nends: {weight_bits: 8, activation_bits: 8}\n",
            "default: a bit width is .* not 1",
        ),
    ],
)
def test_a_malformed_scheme_file_is_named(tmp_path, text, message):
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(SaqEvalError, match=rf"bad\.yaml: {message}"):
        load_scheme(file)


def test_unknown_scheme():
    with pytest.raises(SaqEvalError, match="unknown scheme 'w4a5'; did you mean 'w4a4'"):
        load_scheme("w4a5")


def test_full_precision():
    assert [scheme.is_full_precision for scheme in SCHEMES.values()] == [True, True, *[False] * 5]
    assert not Scheme("x", Bits(32, 32), Bits(32, 8)).is_full_precision


def test_hidden_bits_for_people():
    assert [scheme.hidden_bits("weight_bits") for scheme in SCHEMES.values()] == [
        *("32", "32", "8", "4", "4/2", "4", "2")
    ]
    assert Scheme("x", Bits(4, 4), Bits(8, 8), overrides={"fc1": Bits(3, 5)}).hidden_bits("weight_bits") == "4*"


@pytest.mark.parametrize("name", ["", "=1+1", "a b", "<b>", "x" * 101])
def test_a_name_that_is_no_name(name):
    with pytest.raises(SaqEvalError, match="a scheme's name has up to 100 letters"):
        Scheme(name, Bits(4, 4), Bits(8, 8))


def test_weights_of_each_width_have_the_quantizer_that_the_scheme_names():
    dorefa = Scheme("x", Bits(2, 2), Bits(8, 8), granularity="channel")
    assert isinstance(dorefa.weight_quantizer(2), DoReFa) and dorefa.weight_quantizer(2).granularity == "channel"
    sawb = Scheme("x", Bits(2, 2), Bits(8, 8), two_bit_weights="sawb")
    assert isinstance(sawb.weight_quantizer(2), SAWB) and isinstance(sawb.weight_quantizer(8), DoReFa)
    only_two = Scheme("x", Bits(2, 2), Bits(32, 32), weights="sawb")  # which is that of 2-bit weights too
    assert isinstance(only_two.weight_quantizer(2), SAWB) and only_two.two_bit_weights == "sawb"
    assert load_scheme(only_two) is only_two


def test_a_scheme_means_the_same_with_and_without_the_names_of_the_usual_quantizers():
    named = Scheme("w4a4", Bits(4, 4), Bits(8, 8), weights="dorefa", two_bit_weights="dorefa")
    assert named == SCHEMES["w4a4"] and repr(named) == repr(SCHEMES["w4a4"])
    assert named != Scheme("w4a4", Bits(4, 4), Bits(8, 8), weights="sawb")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"two_bit_weights": "lsq"}, "scheme 'x': two_bit_weights: unknown quantizer 'lsq'; valid: dorefa, mse, sawb$"),
        (
            {"weights": "dorefs"},
            "weights: unknown quantizer 'dorefs'; did you mean 'dorefa'. valid: dorefa, mse, sawb$",
        ),
        ({"weights": "sawb"}, "weights: SAWB quantizes weights to 2 bits, not 8; valid for 8 bits: dorefa, mse$"),
        ({"weights": "a b"}, "a quantizer's name has up to 100 letters"),
        ({"granularity": "group"}, "a scheme's granularity is 'layer' or 'channel', not 'group'"),
    ],
)
def test_quantizers_that_a_scheme_cannot_have(cnn, tmp_path, fields, message):
    with pytest.raises(SaqEvalError, match=message):
        quantize(cnn, Scheme("x", Bits(2, 2), Bits(8, 8), **fields))
    file = tmp_path / "x.yaml"
    text = "name: x\ndefault: {weight_bits: 2, activation_bits: 2}\nends: {weight_bits: 8, activation_bits: 8}\n"
    file.write_text(text + "".join(f"{key}: {value}\n" for key, value in fields.items()))
    with pytest.raises(SaqEvalError, match=r"x\.yaml: "):
        load_scheme(file)


def test_descriptions_say_how_the_ends_are_treated():
    assert SCHEMES["fp32"].description() == "fp32: floating point throughout"
    assert SCHEMES["mixed"].description() == (
        "mixed: hidden layers 4/4, the later half 2/2, first and last layer 8/8, 2-bit weights by SAWB"
    )
    custom = Scheme("x", Bits(4, 4), Bits(8, 8), overrides={"fc1": Bits(3, 5)}, granularity="channel")
    assert custom.description() == "x: hidden layers 4/4, first and last layer 8/8, fc1 3/5, scaled per channel"
    by_sawb = Scheme("x", Bits(2, 4), Bits(32, 32), weights="sawb")
    assert by_sawb.description() == "x: hidden layers 2/4, first and last layer 32/32, 2-bit weights by SAWB"


def test_descriptions_name_quantizers_other_than_the_usual_one(monkeypatch):
    monkeypatch.setattr(QUANTIZERS, "_entries", {**QUANTIZERS._entries, "mine": type("Mine", (DoReFa,), {})})
    scheme = Scheme("x", Bits(2, 2), Bits(8, 8), weights="mine", two_bit_weights="sawb")
    assert scheme.description().endswith("8/8, 2-bit weights by SAWB, other weights by Mine")
    assert Scheme("x", Bits(4, 4), Bits(8, 8), weights="mine").description().endswith("8/8, weights by Mine")
