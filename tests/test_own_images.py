"""Comparisons on images from outside the suite: pictures in folders, masks, boxes, arrays, and classes by name."""

import json
import warnings

import numpy as np
import pytest
import quantus
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from torch.utils.data import TensorDataset

import saq_eval
from saq_eval import SaqEvalError
from saq_eval.core.errors import SaqEvalWarning
from saq_eval.metrics import METRICS
from saq_eval.networks.network import Network
from tests.data.writing import noise, write

CLASSES = ("cat", "dog", "eel")
LOCALISATION = [name for name, each in METRICS.items() if each.declares.__module__ == "saq_eval.metrics.localisation"]


def network(channels=3, outputs=3, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        features = [nn.Conv2d(channels, 4, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten()]
        return nn.Sequential(*features, nn.Linear(64, outputs)).eval()


def compare(images, models=None, **options):
    usual = {"methods": ["saliency"], "metrics": ["PointingGame", "SSIM"], "samples": 3, "progress": False}
    models = models or {"fp32": network(), "other": network(seed=1)}
    return saq_eval.compare(images, models=models, baseline="fp32", **(usual | options))


pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def folder(tmp_path):
    """JPEG pictures of several sizes, with a mask of the same size for each: its left half."""
    for place, name in enumerate(CLASSES):
        for number in range(2):
            height, width = 24 + 8 * number, 20 + 12 * place
            pixels = noise(height, width, seed=10 * place + number)
            write(tmp_path / "pets" / name / f"{number}.jpg", pixels)
            mask = np.zeros((height, width), dtype=np.uint8)
            mask[:, : width // 2] = 255
            write(tmp_path / "masks" / name / f"{number}.png", mask)
    return tmp_path


def means(result, metric):
    return result.summary[(result.summary["metric"] == metric) & (result.summary["role"] == "model")]


def test_jpeg_pictures_of_several_sizes_with_masks(folder):
    result = compare(f"folder:{folder / 'pets'}", size=16, masks=folder / "masks")
    assert result.run["masks"]["images"] == 3 and result.run["test_images"] == 6
    assert means(result, "PointingGame")["mean"].between(0, 1).all() and means(result, "PointingGame")["n"].eq(3).all()
    assert result.gallery.images.shape[-2:] == (16, 16)
    with pytest.raises(SaqEvalError, match="size"):
        compare(f"folder:{folder / 'pets'}", masks=folder / "masks")


def test_boxes_in_coco_format(folder):
    pictures = sorted((folder / "pets").rglob("*.jpg"))
    images = [
        {"id": place, "file_name": path.relative_to(folder / "pets").as_posix()} for place, path in enumerate(pictures)
    ]
    for image, path in zip(images, pictures, strict=True):
        image["height"], image["width"] = np.asarray(saq_eval_picture(path)).shape[:2]
    boxes = [{"id": i["id"], "image_id": i["id"], "category_id": 1, "bbox": [2, 2, 9, 9]} for i in images]
    content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "pet"}]}
    (folder / "boxes.json").write_text(json.dumps(content))
    result = compare(f"folder:{folder / 'pets'}", size=16, boxes=folder / "boxes.json")
    assert result.run["masks"]["images"] == 3 and means(result, "PointingGame")["n"].eq(3).all()


def saq_eval_picture(path):
    from PIL import Image

    return Image.open(path)


def test_a_dataset_of_torch_and_a_pair_of_arrays_are_the_same_images():
    pixels, labels = torch.rand(6, 3, 12, 12), torch.tensor([0, 1, 2, 0, 1, 2])
    first = compare(TensorDataset(pixels, labels))
    second = compare((pixels.numpy(), labels.numpy()))
    np.testing.assert_array_equal(means(first, "SSIM")["mean"], means(second, "SSIM")["mean"])
    assert means(first, "SSIM")["mean"].notna().all() and means(first, "PointingGame")["mean"].isna().all()


@pytest.mark.parametrize(
    ("pictures", "reads", "way"), [(1, 3, "grey images are read as colour images"), (3, 1, "by their luma")]
)
def test_pictures_of_other_channels_than_the_network_reads_are_turned_into_these(pictures, reads, way):
    pixels = np.random.default_rng(0).random((6, pictures, 12, 12), dtype=np.float32)
    models = {"fp32": network(reads), "other": network(reads, seed=1)}
    with pytest.warns(SaqEvalWarning, match=f"^fp32, other: .*{way}") as said:
        result = compare((pixels, np.arange(6) % 3), models, mean=[0.5] * reads, std=[0.25] * reads)
    assert sum(way in str(each.message) for each in said) == 1
    assert [way in each["reads"][0] for each in result.run["models"].values()] == [True] * 3  # the control too
    luma = np.array([0.299, 0.587, 0.114], dtype=np.float32)[None, :, None, None]
    turned = (pixels * luma).sum(axis=1, keepdims=True) if pictures == 3 else pixels.repeat(3, axis=1)
    with torch.no_grad():
        logits = models["other"]((torch.from_numpy(turned) - 0.5) / 0.25)
    scores = result.scores[result.scores["model"] == "other"].drop_duplicates("sample")
    assert scores["prediction"].to_list() == logits.argmax(dim=1)[scores["sample"].to_list()].tolist()


def test_a_zoo_network_of_grey_images_reads_colour_images():
    pixels = np.random.default_rng(0).random((4, 3, 28, 28), dtype=np.float32)
    luma = (pixels * np.array([0.299, 0.587, 0.114])[:, None, None]).sum(axis=1).astype(np.float32)
    models = {"fp32": "digits/cnn-fp32", "other": "digits/cnn-w4a4"}
    with pytest.warns(SaqEvalWarning, match="fp32, other: colour images are read as grey images"):
        result = compare((pixels, np.arange(4)), models)
    grey = compare((luma, np.arange(4)), models)
    assert result.models["kl"].max() > 0
    np.testing.assert_allclose(result.models["kl"], grey.models["kl"], rtol=1e-3, atol=1e-6)


def test_images_of_other_channels_are_refused():
    images = (np.random.default_rng(0).random((6, 3, 12, 12), dtype=np.float32), np.arange(6) % 3)
    with pytest.raises(SaqEvalError, match="the network 'fp32': .*cannot read images") as error:
        compare(images, {"fp32": network(2), "other": network(1)})
    assert "\n" not in str(error.value)


def test_classes_are_matched_to_outputs_by_name(folder):
    names = [f"thing {number}" for number in range(20)]
    names[3], names[11], names[17] = "Eel", "cat", "dog"
    (folder / "names.txt").write_text("\n".join(names) + "\n")
    models = {"fp32": network(outputs=20), "other": network(outputs=20, seed=1)}
    result = compare(f"folder:{folder / 'pets'}", models, size=16, classes=folder / "names.txt", accuracy_on=6)
    assert set(result.scores["label"]) == {3, 11, 17} == set(result.scores["target"])

    # Labels that are places in the alphabet would be other outputs of the network.
    with pytest.raises(SaqEvalError, match="20 outputs and pets 3 classes: name its outputs"):
        compare(f"folder:{folder / 'pets'}", models, size=16)
    (folder / "names.txt").write_text("\n".join(names[:17]) + "\n")
    with pytest.raises(SaqEvalError, match="dog"):
        compare(f"folder:{folder / 'pets'}", models, size=16, classes=folder / "names.txt")
    (folder / "names.txt").write_text("\n".join([*names, "one more"]) + "\n")
    with pytest.raises(SaqEvalError, match="20 outputs and pets 21 classes"):
        compare(f"folder:{folder / 'pets'}", models, size=16, classes=folder / "names.txt")


def test_networks_that_name_their_outputs_in_different_orders_are_not_compared(folder):
    def named(classes, seed=0):
        return Network(network(seed=seed), classes=classes)

    backwards = CLASSES[::-1]
    models = {"fp32": named(backwards), "other": named(backwards, 1)}
    result = compare(f"folder:{folder / 'pets'}", models, size=16, samples=6)
    counted = result.scores[result.scores["model"] == "fp32"].drop_duplicates("sample")["label"]
    assert sorted(counted) == [0, 0, 1, 1, 2, 2]
    images = saq_eval.data.open_images(f"folder:{folder / 'pets'}", classes=backwards)
    assert dict(zip(images.indices.tolist(), images.labels.tolist(), strict=True)) == dict(
        result.scores[["sample", "label"]].itertuples(index=False)
    )
    with pytest.raises(SaqEvalError, match="other and fp32 expect different names of outputs; say which hold for all"):
        compare(f"folder:{folder / 'pets'}", {"fp32": named(CLASSES), "other": named(backwards)}, size=16)


def test_names_of_more_outputs_than_a_network_has_or_fewer_are_refused(folder):
    """The file names outputs; were there fewer names than outputs, a place in the file could be another output."""
    (folder / "names.txt").write_text("\n".join(CLASSES) + "\n")
    with pytest.raises(SaqEvalError, match="4 outputs and pets 3 classes"):
        models = {"fp32": network(outputs=4), "other": network(outputs=4, seed=1)}
        compare(f"folder:{folder / 'pets'}", models, size=16, classes=folder / "names.txt")


def test_a_network_of_imagenet_finds_its_outputs_by_its_own_names(tmp_path):
    from torchvision.models import SqueezeNet1_1_Weights, get_model

    for name in ("goldfish", "tench"):
        for number in range(2):
            write(tmp_path / "fish" / name / f"{number}.png", noise(40, 40, seed=number + len(name)))
    torch.manual_seed(0)
    save_file(get_model("squeezenet1_1").state_dict(), tmp_path / "s.safetensors")
    source = f"torchvision:squeezenet1_1?size=36@{tmp_path / 's.safetensors'}"
    result = compare(f"folder:{tmp_path / 'fish'}", {"fp32": source, "other": source}, samples=2)
    names = SqueezeNet1_1_Weights.DEFAULT.meta["categories"]
    assert set(result.scores["label"]) == {names.index("goldfish"), names.index("tench")}
    assert result.gallery.images.shape[-2:] == (36, 36)


@pytest.mark.validation
def test_localisation_of_a_resnet_on_large_pictures_is_that_of_quantus(tmp_path):
    from torchvision.models import resnet18

    generator = np.random.default_rng(0)
    masks = np.zeros((4, 1, 224, 224), dtype=bool)
    for place in range(4):
        name = f"{CLASSES[place % 2]}/{place}.png"
        write(tmp_path / "pets" / name, noise(224, 224, seed=place))
        top, left = generator.integers(0, 120, 2)
        masks[place, 0, top : top + 100, left : left + 90] = True
        write(tmp_path / "masks" / name, masks[place, 0].astype(np.uint8) * 255)
    torch.manual_seed(0)
    models = {"fp32": resnet18(num_classes=2)}  # alone, since its integrated gradients take most of the time
    result = compare(
        f"folder:{tmp_path / 'pets'}", models, masks=tmp_path / "masks", metrics=LOCALISATION, samples=4,
        output=tmp_path / "out", save_maps=True,
    )  # fmt: skip
    with safe_open(tmp_path / "out" / "maps" / "fp32" / "saliency.safetensors", framework="numpy") as file:
        maps, targets = file.get_tensor("maps"), file.get_tensor("targets")
    cells = result.scores[(result.scores["model"] == "fp32") & (result.scores["method"] == "saliency")]
    # The scores are in the sample's order, which is not that of the folder.
    images = saq_eval.data.open_images(f"folder:{tmp_path / 'pets'}", masks=str(tmp_path / "masks"))
    order = [images.indices.tolist().index(index) for index in result.run["image_indices"]]
    evidence = images.subset(np.array(order)).sample(4, 0)
    by_index = dict(zip(evidence.indices.tolist(), evidence.masks().numpy(), strict=True))
    chosen = np.stack([by_index[index] for index in result.run["image_indices"]])
    assert {mask.tobytes() for mask in chosen} == {mask.tobytes() for mask in masks}
    for name in LOCALISATION:
        arguments = {"TopKIntersection": {"k": None}, "AttributionLocalisation": {"positive_attributions": True}}
        given = arguments.get(name, {})
        if "k" in given:
            given = {"k": result.run["metrics"][name]["settings"]["k"]}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            metric = getattr(quantus, name)(
                abs=name != "AttributionLocalisation", normalise=False, return_aggregate=False, disable_warnings=True,
                **given,
            )  # fmt: skip
            expected = metric(
                model=nn.Identity(), x_batch=np.zeros((4, 3, 224, 224), dtype=np.float32), y_batch=targets,
                a_batch=maps[:, None].astype(float), s_batch=chosen, channel_first=True,
            )  # fmt: skip
        np.testing.assert_allclose(cells[cells["metric"] == name]["score"], expected, atol=1e-6, err_msg=name)
