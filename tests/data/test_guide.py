"""The page on images: its examples run."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import saq_eval
from tests.data.writing import pets, write

PAGE = Path(saq_eval.__file__).parents[1] / "docs" / "images.md"


@pytest.mark.skipif(not PAGE.is_file(), reason="the documentation is not part of a wheel")
def test_the_examples_of_the_page_run(tmp_path, monkeypatch):
    pets(tmp_path / "pictures", height=260, width=300)
    write(tmp_path / "masks" / "cat" / "0001.png", np.full((260, 300), 255, np.uint8))
    boxes = {"images": [{"id": 1, "file_name": "dog/0000.png"}], "annotations": [{"image_id": 1, "bbox": [0, 0, 9, 9]}]}
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    (tmp_path / "classes.txt").write_text("Dog\nCat\n")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 7
    names, opened = {}, []
    for block in blocks:
        exec(block, names)
        opened.append(names.get("images"))
    assert opened[1].image_shape == (3, 260, 300) and opened[2].image_shape == (3, 224, 224)
    assert opened[4].class_names == ("Dog", "Cat") and opened[4].labels.tolist() == [1, 1, 1, 0, 0, 0]
    assert opened[5].read_evidence([3])[0, 0].sum() == 81
    assert torch.equal(opened[6].read([0]), torch.zeros(1, 3, 32, 32))
