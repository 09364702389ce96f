import re
from pathlib import Path

import pytest
import yaml

from saq_eval import SaqEvalError
from saq_eval.evaluation.configuration import Configuration, merge, read_configuration


def read(tmp_path, text):
    (tmp_path / "study.yaml").write_text(text)
    return read_configuration(tmp_path / "study.yaml")


def test_the_example_in_the_docstring_is_read(tmp_path):
    (example,) = re.findall(r"```yaml\n(.*?)```", Configuration.__doc__, re.DOTALL)
    assert read(tmp_path, example) == {
        "dataset": "fashionmnist",
        "models": ["cnn-fp32", "cnn-w*"],
        "methods": ["saliency", "integrated_gradients:n_steps=64,fill=blur"],
        "metrics": ["standard", "FaithfulnessCorrelation:nr_runs=200"],
        "target": "predicted",
        "samples": 256,
    }
    assert yaml.safe_load(example)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sample: 3", "study.yaml: sample: unexpected keyword argument"),
        ("samples: many", "study.yaml: samples: input should be a valid integer"),
        ("methods: saliency", "study.yaml: methods: input should be a valid list"),
        ("methods: [{a: {x: 1}, b: {y: 2}}]", "a name, or one name with its parameters"),
        ("[1, 2]", "study.yaml: "),
        (": {", "cannot be read as YAML"),
    ],
)
def test_a_file_that_says_something_else_is_refused(text, message, tmp_path):
    with pytest.raises(SaqEvalError, match=message):
        read(tmp_path, text)


def test_the_command_line_comes_first(tmp_path):
    configured = read(tmp_path, "samples: 3\nseed: 4\noutput: here\n")
    assert merge(configured, {"samples": 5, "seed": None}) == {"samples": 5, "seed": 4, "output": Path("here")}
