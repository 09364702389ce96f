"""Options and parameters of any text on the command line."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cli.process import saq_eval
from tests.hostile.running import answered, refused

COMPARE = ("compare", "--dataset", "digits", "--models", "cnn-w2a2")
DIGITS = "9" * 5_000
TEXTS = [
    "",
    " ",
    "\0",
    "a\nb",
    "\udcff",
    "🐈",
    "\x1b[2J",
    "'",
    "x" * 100_000,
    "../../etc",
    "/dev/zero",
    "%s{0}$HOME",
    "-",
    "*",
]
NUMBERS = [
    "nan",
    "inf",
    "-inf",
    "1e999",
    "-1",
    DIGITS,
    "-" + DIGITS,
    "1e-400",
    "1.5",
    "9" * 20,
    "",
    "one",
]


@pytest.mark.parametrize(
    "option", ["--samples", "--seed", "--accuracy-on", "--workers", "--batch-size", "--size", "--crop"]
)
def test_whole_numbers_that_are_none(here, option):
    for number in NUMBERS:
        refused(here, *COMPARE, option, number)


@pytest.mark.parametrize("option", ["--margin", "--mean", "--std"])
def test_numbers_that_are_none(here, option):
    for number in ("nan", "inf", "-inf", "1e999", "-1", "one", "", "0x10", "1,,2", ",", DIGITS):
        if (option, number) != ("--mean", "-1"):
            others = {"--mean": ("--std", "1"), "--std": ("--mean", "0")}.get(option, ())
            refused(here, *COMPARE, *others, option, number)


OPTIONS = [
    *("--dataset", "--study", "--methods", "--metrics", "--baseline", "--target", "--device", "--engine", "--formats"),
    *("--zoo", "--data-root", "--masks", "--boxes", "--classes", "--config", "--model", "--models"),
]


@pytest.mark.parametrize("option", OPTIONS)
def test_texts_that_mean_nothing(here, option):
    for text in TEXTS:
        # Some of them are allowed. Then it is the number of samples that is refused.
        refused(here, *COMPARE, option, text, "--samples", "0")


@pytest.mark.parametrize("text", TEXTS)
def test_texts_that_mean_nothing_to_other_commands(here, text):
    commands = [
        ["explain", "--dataset", "digits", "--index", text],
        ["explain", "--dataset", text, "--index", "0"],
        ["explain", "--dataset", f"folder:{text}", "--index", "0", "--model", "a=digits/cnn-fp32"],
        ["explain", "--dataset", "digits", "--index", "0", "--model", f"a={text}"],
        ["explain", "--dataset", "digits", "--index", "0", "--model", f"{text}=digits/cnn-fp32"],
        ["report", text],
        ["report", "nowhere", "--formats", text],
        ["train", "--dataset", "digits", "--scheme", text],
        ["train", "--dataset", text, "--scheme", "w4a4"],
        ["train", "--dataset", "digits", "--scheme", "fp32", "--name", "new", "--architecture", text],
        ["train", "--dataset", "digits", "--scheme", "fp32", "--name", "new", "--arguments", text or "["],
        ["train", "--dataset", "digits", "--scheme", "fp32", "--name", "new", "--recipe", text],
        ["quantize", "--dataset", "digits", "--model", text, "--scheme", "w4a4"],
        ["quantize", "--dataset", "digits", "--model", "cnn-fp32", "--scheme", text],
        ["quantize", "--dataset", "digits", "--model", "cnn-fp32", "--scheme", "w4a4", "--clip", text],
        ["zoo", "list", "--dataset", text],
        ["zoo", "list", "--zoo", text or "\0"],
        ["zoo", "accuracies", "--into", text],
        ["zoo", "remove", text, "--dataset", "digits"],
        ["zoo", "retrain", text, "--dataset", "digits", "--name", "new"],
        ["zoo", "verify", text if text != "*" else "?", "--dataset", "digits"],
        ["zoo", "add", "--weights", text, "--architecture", "cnn", "--dataset", "digits", "--name", "new"],
        ["methods", "--size", text],
        [text or "\0"],
        [*COMPARE, f"--{text}x"],
    ]
    for command in commands:
        writes = command[0] in ("train", "quantize") or command[1:2] in (["add"], ["retrain"])
        refused(here, *command, *(("--zoo", "new") if writes else ()), output="new")


SPECS = [
    *(
        "=",
        ":::",
        ":",
        "a=",
        "=a",
        "saliency:",
        "saliency:=",
        "saliency::",
        "saliency:a",
        "saliency:a=",
        ",",
        "saliency,:",
    ),
    *("integrated_gradients:n_steps=99999999999999999999", "integrated_gradients:n_steps=0", "saliency:x=1"),
    *(
        "integrated_gradients:n_steps=nan",
        "integrated_gradients:n_steps=1e400",
        f"integrated_gradients:n_steps={DIGITS}",
    ),
    *("integrated_gradients:n_steps=64,n_steps=64", "integrated_gradients:fill=/etc/passwd", "smoothgrad:samples=-1"),
    *(
        "occlusion:window=0",
        "occlusion:window=99999999999",
        "occlusion:window=9,stride=0",
        f"occlusion:window={DIGITS}",
    ),
    *(
        "lrp:gamma=nan",
        "lrp:gamma=inf",
        "lrp:gamma=-1",
        "rise:n_masks=99999999",
        "lime:n_samples=inf",
        "saliency\0",
        "\udcff",
    ),
    *("os:system", "__import__('os')", "saliency;ls", "../saliency", "SALIENCY" * 10_000, "a" * 100_000 + ":b=c"),
]
METRICS = [
    *("SSIM:window_size=99999999999", "SSIM:window_size=0", "SSIM:window_size=-7", "SSIM:window_size=nan", "SSIM:a=1"),
    *("PixelFlipping:features_in_step=0", f"PixelFlipping:features_in_step={DIGITS}", "PixelFlipping:fill=x"),
    *("FaithfulnessCorrelation:nr_runs=99999999999", "FaithfulnessCorrelation:subset_size=99999999999"),
    *("ROAD:noise=nan", "ROAD:percentages=[]", "MaxSensitivity:nr_samples=1e9", "MaxSensitivity:lower_bound=inf"),
    *(
        "IROF:segmentation_method=harm",
        "PointingGame:weighted=maybe",
        "TopKIntersection:k=-1",
        "Infidelity:n=1",
        "=",
        ":::",
    ),
]


@pytest.mark.parametrize(("option", "spec"), [*(("--methods", s) for s in SPECS), *(("--metrics", s) for s in METRICS)])
def test_parameters_that_no_method_or_metric_has_or_could_use(here, option, spec):
    refused(here, *COMPARE, option, spec)


def test_an_output_that_cannot_be_written(here):
    (here / "file").write_text("mine")
    (here / "loop").symlink_to("loop")
    (here / "a.png").mkdir()
    explain = ("explain", "--dataset", "digits", "--index", "0", "--models", "cnn-fp32", "--methods", "saliency")
    for output in (
        "file/a.png",
        "\0.png",
        f"{'x' * 300}.png",
        "loop/a.png",
        "/proc/a.png",
        "a.png",
        "a.jpg",
        "",
        ".png",
    ):
        refused(here, *explain, "--output", output)
    assert "null byte" in refused(here, *COMPARE, "--output", "\0")


def test_an_output_of_any_name(here):
    name = "a b'\"🐈$(ls);&" + "x" * 180
    command = ("explain", "--dataset", "digits", "--index", "0", "--models", "cnn-fp32", "--methods", "saliency")
    assert answered(here, *command, "--output", f"{name}/{name}.png", output=name) == (0, "")
    assert [path.name for path in (here / name).iterdir()] == [f"{name}.png"]


def test_a_name_that_is_no_text_is_printed_with_escapes(here):
    """In a process of its own, whose standard output takes UTF-8 alone."""
    done = saq_eval("explain", "--dataset", "digits", "--index", "0", "--models", "cnn-fp32", "--methods", "saliency",
                    "--output", "a\udcff.png", cwd=here)  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "Written to a\\udcff.png\n", "")


FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None)
words = st.text(st.characters(exclude_categories=()), max_size=8) | st.sampled_from([*TEXTS, *NUMBERS])


@FUZZ
@given(data=st.data())
def test_any_text_for_any_option_is_one_sentence(below, data):
    (below / "here").mkdir(exist_ok=True)
    option = data.draw(st.sampled_from(["--methods", "--metrics", "--models", "--samples", "--margin", "--baseline"]))
    text = data.draw(words)
    # The unknown study refuses what the option would allow.
    refused(below / "here", *COMPARE, option, text, "--study", "none")


specs = st.builds(
    lambda name, pairs: f"{name}:{','.join(f'{key}={value}' for key, value in pairs)}",
    st.sampled_from(["integrated_gradients", "occlusion", "lrp", "smoothgrad", "lime", "SSIM", "ROAD", "saliency"]),
    st.lists(st.tuples(words | st.sampled_from(["n_steps", "window", "gamma", "fill"]), words), max_size=3),
)


@FUZZ
@given(spec=specs, option=st.sampled_from(["--methods", "--metrics"]))
def test_any_parameter_of_a_method_or_metric_is_one_sentence(below, spec, option):
    (below / "here").mkdir(exist_ok=True)
    refused(below / "here", *COMPARE, option, spec, "--samples", "0")
