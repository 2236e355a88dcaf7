"""`receptive.load`: a finished run in one's own code, against what the run was tested with."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score, f1_score
from tests.conftest import DIGITS, Cli

import receptive
from receptive.data.digits import Digits
from receptive.data.phantoms import Phantoms
from receptive.errors import InputError
from receptive.runs import Run


def test_predictions_give_the_accuracy_of_the_test(digit_run: Run) -> None:
    model = receptive.load(digit_run.folder, batch_size=50)
    pixels = load_digits().images[-360:] / 16  # (N, 8, 8) floats, the library's own
    found = model.predict(list(pixels))
    accuracy = accuracy_score(load_digits().target[-360:], [int(prediction.best) for prediction in found])
    assert accuracy == pytest.approx(digit_run.result()["metrics"]["test/accuracy"], abs=1e-6)
    assert [prediction.name for prediction in found[49:52]] == ["image 49", "image 50", "image 51"]
    assert model.class_names == tuple("0123456789")
    assert not model.network.training


def test_every_form_of_an_image_is_the_same_image(digit_run: Run, tmp_path: Path) -> None:
    pixels = Digits().load("test").images[3]  # (1, 8, 8) uint8
    picture = Image.fromarray(pixels[0].numpy())
    picture.save(tmp_path / "digit.png")
    model = receptive.load(digit_run.folder)
    forms: list[Any] = [
        *(picture, picture.convert("RGB"), tmp_path / "digit.png", str(tmp_path / "digit.png")),
        *(pixels, pixels[0], pixels / 255, pixels[0].double() / 255, pixels.repeat(3, 1, 1)),
        *(pixels[0].numpy(), pixels.numpy().transpose(1, 2, 0), pixels[0].numpy() / np.float32(255)),
        picture.convert("P"),
    ]
    wanted = model.transform(picture)
    assert isinstance(wanted, torch.Tensor)
    assert wanted.shape == (1, 1, 8, 8)
    assert torch.equal(wanted, (pixels[None] / 255 - 0.3054) / 0.3753)
    for form in forms:
        assert torch.equal(torch.as_tensor(model.transform(form)), wanted), form
    shares = model.predict(picture)[0].shares
    for found in model.predict(forms):
        assert found.shares == pytest.approx(shares, abs=1e-6)


def test_a_batch_is_its_images(digit_run: Run) -> None:
    batch = Digits().load("test").images[:5]
    model = receptive.load(digit_run.folder, batch_size=2)
    wanted = torch.as_tensor(model.transform(list(batch)))
    for given in (batch, batch.numpy().transpose(0, 2, 3, 1), batch / 255):
        assert torch.equal(torch.as_tensor(model.transform(given)), wanted)
        assert len(model.predict(given)) == 5


def test_the_network_gives_the_logits_of_the_predictions(digit_run: Run) -> None:
    images = Digits().load("test").images[:4]
    model = receptive.load(digit_run.folder, precision="32-true", device="cpu")
    with torch.no_grad():
        logits = model.network(model.transform(images)).double().numpy()
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found = [list(prediction.shares.values()) for prediction in model.predict(images)]
    assert np.allclose(found, shares, atol=1e-6)


def test_masks_have_their_images_size_and_the_scores_of_the_test(phantom_run: Run) -> None:
    split = Phantoms(image_size=48, train_images=10, test_images=6).load("test")
    model = receptive.load(phantom_run.folder)
    scores = pd.read_csv(phantom_run.test_images_path)
    for place, prediction in enumerate(model.predict(split.images)):
        assert prediction.mask is not None
        f1 = f1_score(split.targets[place].numpy().ravel(), prediction.mask.ravel())
        assert f1 == pytest.approx(scores["f1"][place], abs=2e-3)
        assert prediction.shares["lungs"] == pytest.approx((prediction.mask == 1).mean())
    [wide] = model.predict(np.zeros((30, 70, 3), np.uint8))
    assert wide.mask is not None
    assert (wide.mask.shape, wide.mask.dtype) == ((30, 70), np.uint8)
    assert "mask 30x70" in repr(wide)


def test_it_says_what_it_is(digit_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(digit_run.folder.parent)
    text = repr(receptive.load("run", device="cpu", precision="32-true"))
    accuracy = digit_run.result()["metrics"]["test/accuracy"]
    for line in (
        "  run      run (done)",
        "  network  MnistNet, 23,946 parameters, best checkpoint, epoch 1",
        "  input    1x8x8 grey",
        "  output   10 classes: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9",
        "  computes 32-true on cpu",
    ):
        assert line in text.splitlines()
    assert f"test/accuracy {100 * accuracy:.2f} %" in text
    found = receptive.load("run").predict(Digits().load("test").images[0])
    assert repr(found[0]).startswith(f"Prediction(image 0: {found[0].best} ")


def test_images_of_several_sizes(cli: Cli, tmp_path: Path) -> None:
    options = ("data=digits_varres", "model=mnist_global_max", "model.channels=[4,4]")
    assert cli("train", *DIGITS, *options)[0] == 0
    model = receptive.load(tmp_path / "run")
    images = [Image.new("L", (side, side), side) for side in (15, 33, 18)]
    found = model.transform(images)
    assert isinstance(found, tuple)
    assert [tuple(image.shape) for image in found] == [(1, 16, 16), (1, 32, 32), (1, 16, 16)]
    together, alone = model.predict(images), [model.predict(image)[0] for image in images]
    for one, other in zip(together, alone, strict=True):
        assert one.shares == pytest.approx(other.shares, abs=1e-3)
    assert "1x16x16, 1x24x24, 1x32x32 grey" in repr(model)


def test_the_random_state_stays(digit_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(7)
    wanted = torch.rand(3)
    torch.manual_seed(7)
    # that of GPUs too, which torch.manual_seed seeds along with the CPU's
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda _: pytest.fail("a GPU's state is another now"))
    receptive.load(digit_run.folder)
    assert torch.equal(torch.rand(3), wanted)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"checkpoint": "first"}, "checkpoint=first: must be 'best' or 'last'"),
        ({"device": "gpu"}, "device=gpu: must be 'auto', 'cpu'"),
        ({"precision": "fp8"}, "precision=fp8: must be 'auto'"),
        ({"batch_size": 0}, "batch_size=0: must be greater than or equal to 1"),
        ({"batch_size": True}, "batch_size=true: must be a whole number"),
    ],
)
def test_options_that_cannot_be(digit_run: Run, options: dict[str, Any], told: str) -> None:
    with pytest.raises(receptive.InputError, match=told):
        receptive.load(digit_run.folder, **options)


def test_folders_that_hold_no_usable_run(digit_run: Run, tmp_path: Path) -> None:
    for folder, told in ((tmp_path, "holds no config.yaml"), (tmp_path / "nowhere", "does not exist")):
        with pytest.raises(InputError, match=f"folder=.*{told}; give the folder of a run"):
            receptive.load(folder)
    digit_run.config_path.write_text(digit_run.config_path.read_text().replace("MnistNet", "MnistNett"))
    with pytest.raises(InputError, match=r"config\.yaml: the run's objects cannot be made .*MnistNett"):
        receptive.load(digit_run.folder)


def test_a_run_of_a_gpu_asks_for_another_device_where_there_is_none(
    digit_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    digit_run.config_path.write_text(
        digit_run.config_path.read_text().replace("accelerator: auto", "accelerator: cuda")
    )
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="lacks: give another device, such as cpu"):
        receptive.load(digit_run.folder)
    assert receptive.load(digit_run.folder, device="cpu").device.type == "cpu"


def test_a_device_that_is_asked_for_and_not_there(digit_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run itself was trained on the CPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"^device=cuda: this machine has no CUDA device; choose auto or cpu$"):
        receptive.load(digit_run.folder, device="cuda")


@pytest.mark.parametrize(
    "verb",
    [
        ("evaluate",),
        ("evaluate", "images=[0]"),
        ("predict", "input=digit.png"),
        ("activations", "split=test", "images=[0]", "maps=[]", "average_maps=false"),
        ("activations", "input=digit.png", "maps=[]", "average_maps=false"),
    ],
    ids=" ".join,
)
def test_every_verb_uses_a_run_of_a_gpu_on_a_cpu(
    verb: tuple[str, ...], cli: Cli, digit_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digit_run.config_path.write_text(
        digit_run.config_path.read_text().replace("accelerator: auto", "accelerator: cuda")
    )
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    Image.new("L", (8, 8), 7).save(tmp_path / "digit.png")
    code, _, err = cli(*verb, f"run={digit_run.folder}")
    assert (code, "was to run on cuda, which this machine lacks" in err) == (1, True)
    code, _, err = cli(*verb, f"run={digit_run.folder}", "device=cpu")
    assert (code, err) == (0, "")
    assert cli(*verb, f"run={digit_run.folder}", "device=gpu")[2].startswith("receptive: device=gpu: must be")


@pytest.mark.parametrize(
    ("image", "told"),
    [
        (np.zeros((8, 8), np.int64), "an image of int64: give uint8, or floats in"),
        (np.full((8, 8), 16.0), "values from 16 to 16: give uint8, or floats in"),
        (np.full((8, 8), np.nan), "give uint8, or floats in"),
        (np.zeros((3, 8, 8), np.uint8), r"shape \(3, 8, 8\): give an array \(H, W\) or \(H, W, C\)"),
        (torch.zeros(8, 8, 3), r"shape \(8, 8, 3\): give a tensor \(H, W\) or \(C, H, W\)"),
        (torch.zeros(8), r"shape \(8,\)"),
        (np.zeros((0, 8), np.uint8), r"shape \(0, 8\)"),
        (Image.fromarray(np.zeros((8, 8), np.uint16)), "more than 8 bits"),
        (3, r"int is no image"),
        ("nowhere.png", "nowhere.png is not a readable image"),
    ],
)
def test_what_is_no_image(digit_run: Run, image: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        receptive.load(digit_run.folder).predict([image])


def test_no_image(digit_run: Run) -> None:
    model = receptive.load(digit_run.folder)
    with pytest.raises(InputError, match="one image at least"):
        model.predict([])
    with pytest.raises(InputError, match="int is no image"):
        model.predict(3)  # type: ignore[arg-type]


def test_importing_receptive_imports_nothing_heavy() -> None:
    program = (
        "import receptive, sys; help(receptive.load);"
        "sys.exit(any(name in sys.modules for name in ('torch', 'hydra', 'omegaconf', 'numpy')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "ready for use" in done.stdout
