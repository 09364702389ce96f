import json
import re

import pytest
import yaml

import saq_eval
from saq_eval import SaqEvalError
from saq_eval.evaluation.configuration import read_configuration


def read(tmp_path, text):
    (tmp_path / "study.yaml").write_text(text)
    return read_configuration(tmp_path / "study.yaml")


def test_the_example_in_the_docstring_is_read(tmp_path):
    (example,) = re.findall(r"```yaml\n(.*?)```", read_configuration.__doc__, re.DOTALL)
    assert read(tmp_path, example) == {
        "dataset": "fashionmnist",
        "models": ["cnn-fp32", "cnn-w*"],
        "methods": ["saliency", "integrated_gradients:n_steps=64,fill=blur"],
        "metrics": ["standard", "FaithfulnessCorrelation:nr_runs=200"],
        "target": "predicted",
        "samples": 256,
    }
    assert yaml.safe_load(re.sub("^    ", "", example, flags=re.MULTILINE))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sample: 3", "study.yaml: sample: extra inputs are not permitted"),
        ("trust_code: true", "study.yaml: trust_code: extra inputs are not permitted"),
        ("samples: many", "study.yaml: samples: input should be a valid integer"),
        ("methods: saliency", "study.yaml: methods: input should be a valid list"),
        ("methods: [{a: {x: 1}, b: {y: 2}}]", "a name, or one name with its parameters"),
        ("[1, 2]", "study.yaml: "),
        (": {", "cannot be read as YAML"),
        ("{headline: [], versions: {}}", "study.yaml was written by an earlier version"),
    ],
)
def test_a_file_that_says_something_else_is_refused(text, message, tmp_path):
    with pytest.raises(SaqEvalError, match=message):
        read(tmp_path, text)


def test_the_record_of_a_run_is_a_configuration(tmp_path):
    arguments = {"models": ["cnn-w2a2"], "methods": ["saliency"], "metrics": ["SSIM"], "samples": 3, "seed": 5}
    run = saq_eval.compare("digits", **arguments, progress=False).run
    (tmp_path / "run.json").write_text(json.dumps(run))
    said = read_configuration(tmp_path / "run.json")
    assert said == run["plan"] and said.items() >= {"dataset": "digits", **arguments}.items()
    again = saq_eval.compare(**said, progress=False).run
    assert again["plan"] == run["plan"] and again["image_indices"] == run["image_indices"]
