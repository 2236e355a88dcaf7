"""`receptive export`: files that strangers open, held against the run."""

import hashlib
import json
import signal
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import safetensors.torch
import torch
from tests.conftest import Cli
from tests.export.conftest import MakeRun

from receptive.data.digits import Digits
from receptive.export import formats, graph, parity
from receptive.export.parity import Parity
from receptive.runs import Run

SUFFIXES = {"onnx": "onnx", "torch_export": "pt2", "safetensors": "safetensors"}
UNET = ("data=phantoms", "model=unet", "model.base_channels=4", "model.depth=2", "data.source.image_size=48")


def probabilities(run: Run) -> np.ndarray:
    """Of the test images of digits, by plain torch from the checkpoint: (360, 10)."""
    weights = torch.load(run.checkpoints / "best.ckpt", weights_only=True)["state_dict"]
    maps = (Digits().load("test").images / 255 - 0.3054) / 0.3753
    for layer in (0, 3, 6):
        maps = torch.conv2d(maps, weights[f"model.layers.{layer}.weight"], weights[f"model.layers.{layer}.bias"], 1, 1)
        maps = torch.max_pool2d(maps.relu(), 2)
    return (maps.flatten(1) @ weights["model.layers.10.weight"].T + weights["model.layers.10.bias"]).softmax(1).numpy()


def softmax(logits: np.ndarray) -> np.ndarray:
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


@pytest.mark.parametrize("kind", SUFFIXES)
def test_a_file_and_what_stands_beside_it(cli: Cli, digit_run: Run, kind: str) -> None:
    code, out, err = cli("export", "run=run", f"format={kind}")
    assert (code, err) == (0, "")
    path = digit_run.folder / "export" / f"model.{SUFFIXES[kind]}"
    assert {file.name for file in path.parent.iterdir()} == {path.name, f"{path.name}.json"}
    told = json.loads(path.with_name(f"{path.name}.json").read_text())
    assert path.stat().st_mode & 0o777 == 0o644
    content = path.read_bytes()
    assert told["file"] == {
        "name": path.name,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    assert told["input"]["shape"] == ["batch", 1, 8, 8]
    assert told["input"]["normalization"]["mean"] == [0.3054]
    assert told["output"]["shape"] == ["batch", 10]
    assert told["class_names"] == list("0123456789")
    assert told["source"]["fingerprint"] == digit_run.status().fingerprint
    assert (told["source"]["checkpoint"], told["source"]["epoch"]) == ("best", 1)
    assert told["source"]["versions"] == digit_run.result()["versions"]
    assert told["written_by"]["torch"] == metadata.version("torch")
    assert told["parity"]["difference"] <= told["parity"]["tolerance"]
    assert (told["parity"]["images"], told["parity"]["count"], told["parity"]["batches"]) == ("test images", 8, [1, 7])
    assert f"{len(content):,} bytes" in out
    assert "8 test images, batches of 1 and 7, at 8x8" in out
    assert str(digit_run.folder.parent).encode() not in content
    assert str(Path(formats.__file__).parents[2]).encode() not in content


def test_onnx_gives_what_the_run_gives(cli: Cli, digit_run: Run) -> None:
    assert cli("export", "run=run", "output=files/digits.onnx", "opset=20")[0] == 0
    beside = json.loads((digit_run.folder.parent / "files" / "digits.onnx.json").read_text())
    assert beside["written_by"]["opset"] == 20
    session = onnxruntime.InferenceSession(digit_run.folder.parent / "files" / "digits.onnx")
    [given], [gives] = session.get_inputs(), session.get_outputs()
    assert (given.name, given.shape, given.type) == ("images", ["batch", 1, 8, 8], "tensor(float)")
    assert (gives.name, gives.shape) == ("logits", ["batch", 10])
    [logits] = session.run(None, {"images": Digits().load("test").images.numpy().astype(np.float32) / 255})
    assert np.allclose(softmax(logits), probabilities(digit_run), atol=1e-5)
    inside = json.loads(session.get_modelmeta().custom_metadata_map["receptive"])
    assert inside["input"]["resize"] == "to 8x8 (height x width), bilinear, antialiased (Pillow's " \
        "Resampling.BILINEAR), aspect ratio not kept"  # fmt: skip


def test_torch_export_gives_what_the_run_gives(cli: Cli, digit_run: Run) -> None:
    """That it is opened without Receptive is seen in test_docs."""
    assert cli("export", "run=run", "format=torch_export")[0] == 0
    inside = {"receptive.json": ""}
    network = torch.export.load(digit_run.folder / "export" / "model.pt2", extra_files=inside).module()
    with torch.no_grad():
        shares = network(Digits().load("test").images / 255).softmax(1)
    assert np.allclose(shares.numpy(), probabilities(digit_run), atol=1e-5)
    assert json.loads(inside["receptive.json"])["task"] == "classification"


def test_safetensors_has_the_weights_of_the_checkpoint(cli: Cli, digit_run: Run) -> None:
    assert cli("export", "run=run", "format=safetensors", "checkpoint=last")[0] == 0
    path = digit_run.folder / "export" / "model.safetensors"
    weights = torch.load(digit_run.checkpoints / "last.ckpt", weights_only=True)["state_dict"]
    found = safetensors.torch.load_file(path)
    assert {f"model.{name}" for name in found} == {name for name in weights if name.startswith("model.")}
    assert all(torch.equal(value, weights[f"model.{name}"]) for name, value in found.items())
    with safetensors.safe_open(path, "pt") as file:
        inside = json.loads(file.metadata()["receptive"])
    assert inside["model"]["config"]["_target_"] == "receptive.models.mnist_net.MnistNet"
    assert inside["input"]["normalization"]["where"].startswith("left to the caller")


def test_the_average_of_the_weights_is_exported(cli: Cli, tmp_path: Path) -> None:
    options = ("trainer.max_epochs=1", "trainer.limit_train_batches=5", "trainer.ema_decay=0.9", "test=false")
    assert cli("train", "hydra.run.dir=run", *options)[0] == 0
    assert cli("export", "run=run", "format=safetensors")[0] == 0
    found = safetensors.torch.load_file(tmp_path / "run" / "export" / "model.safetensors")["layers.0.weight"]
    state = torch.load(tmp_path / "run" / "checkpoints" / "best.ckpt", weights_only=True)
    assert torch.equal(found, state["state_dict"]["model.layers.0.weight"])
    raw = [value for name, value in state["current_model_state"].items() if name.endswith("layers.0.weight")]
    assert len(raw) == 1
    assert not torch.equal(found, raw[0])


def test_a_segmentation_of_other_sizes(cli: Cli, make_run: MakeRun) -> None:
    run = make_run(*UNET)
    code, out, _ = cli("export", "run=run")
    assert code == 0
    assert "images (batch, 1, height, width) float32" in out
    assert "height from 4 in steps of 4" in out
    session = onnxruntime.InferenceSession(run.folder / "export" / "model.onnx")
    for height, width in ((48, 48), (64, 80), (4, 4)):
        [logits] = session.run(None, {"images": np.zeros((3, 1, height, width), np.float32)})
        assert logits.shape == (3, 2, height, width)
    told = json.loads((run.folder / "export" / "model.onnx.json").read_text())
    assert told["parity"]["sizes"] == [[48, 48], [60, 72], [4, 4]]
    assert "argmax over axis 1" in told["output"]["meaning"]
    assert cli("export", "run=run", "dynamic_size=false", "format=torch_export")[0] == 0
    told = json.loads((run.folder / "export" / "model.pt2.json").read_text())
    assert told["input"]["shape"] == ["batch", 1, 48, 48]
    assert told["input"]["fixed_size_because"] == "dynamic_size=false"


def test_an_image_that_the_net_pads_is_of_one_size(cli: Cli, make_run: MakeRun) -> None:
    make_run(*UNET[:-1], "data.source.image_size=50")
    code, out, _ = cli("export", "run=run", "format=torch_export")
    assert code == 0
    assert "images (batch, 1, 50, 50)" in out
    assert "size         fixed: the images' sides are no multiples of 4" in out


def test_without_the_data_random_images_are_compared(cli: Cli, make_run: MakeRun) -> None:
    make_run("data=cifar10", "model=net_a", "model.stage_channels=[4,4]", "data.normalize=false")
    code, out, _ = cli("export", "run=run", "format=safetensors")
    assert code == 0
    assert "8 random images, seed 0, batches of 1 and 7, at 32x32" in out


def test_the_data_may_lie_elsewhere(cli: Cli, make_run: MakeRun, mnist_root: Path) -> None:
    make_run("data=mnist", "model.channels=[4,4,4]")
    for options, told in (((), "8 random images"), ((f"paths.data_dir={mnist_root}",), "8 test images")):
        code, out, _ = cli("export", "run=run", "format=safetensors", *options)
        assert code == 0
        assert told in out


def spoil(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Make an exporter that gets a weight wrong."""
    if kind == "safetensors":
        save = safetensors.torch.save_file
        monkeypatch.setattr(
            safetensors.torch,
            "save_file",
            lambda weights, *rest: save({name: value + 0.1 for name, value in weights.items()}, *rest),
        )
        return
    whole = formats.portable

    def wrong(network: torch.nn.Module) -> torch.nn.Module:
        found = whole(network)
        next(found.parameters()).add_(0.1)
        return found

    monkeypatch.setattr(formats, "portable", wrong)


@pytest.mark.parametrize("kind", SUFFIXES)
def test_a_file_that_gives_something_else_is_not_kept(
    cli: Cli, digit_run: Run, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    spoil(monkeypatch, kind)
    code, out, err = cli("export", "run=run", f"format={kind}")
    assert (code, out) == (1, "")
    assert "does not give what the run gives" in err
    assert len(err.splitlines()) == 1
    assert list((digit_run.folder / "export").iterdir()) == []


def test_an_older_file_stays_when_the_new_one_is_wrong(
    cli: Cli, digit_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("export", "run=run", "format=safetensors")[0] == 0
    before = {path.name: path.read_bytes() for path in (digit_run.folder / "export").iterdir()}
    spoil(monkeypatch, "safetensors")
    assert cli("export", "run=run", "format=safetensors")[0] == 1
    assert {path.name: path.read_bytes() for path in (digit_run.folder / "export").iterdir()} == before


def test_a_signal_leaves_nothing(cli: Cli, digit_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "_tried", lambda *arguments: signal.raise_signal(signal.SIGTERM))
    code, _, err = cli("export", "run=run", "format=safetensors")
    assert code == 143
    assert "the same command begins again" in err
    assert list((digit_run.folder / "export").iterdir()) == []


@pytest.mark.parametrize("difference", [0.2, float("nan"), float("inf")])
def test_what_parity_lets_pass(difference: float) -> None:
    good: dict[str, Any] = {"largest": 5.0, "images": "", "count": 2, "batches": (1, 1), "sizes": ()}
    Parity(difference=0.1, tolerance=0.1, **good).require()
    with pytest.raises(parity.InputError, match="does not give what the run gives"):
        Parity(difference=difference, tolerance=0.1, **good).require()


def test_logits_that_are_no_numbers_are_told(cli: Cli, make_run: MakeRun) -> None:
    run = make_run()
    path = run.checkpoints / "best.ckpt"
    state = torch.load(path, weights_only=True)
    state["state_dict"]["model.layers.0.weight"][0] = float("inf")
    torch.save(state, path)
    code, _, err = cli("export", "run=run", "format=safetensors")
    assert code == 1
    assert "logits that are infinite or no numbers" in err


def test_what_is_not_installed_is_told(cli: Cli, digit_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    find = formats.importlib.util.find_spec
    monkeypatch.setattr(
        formats.importlib.util, "find_spec", lambda name: None if name.startswith("onnx") else find(name)
    )
    code, _, err = cli("export", "run=run")
    assert code == 1
    remedy = "pip install onnx onnxscript onnxruntime"
    assert err == f"receptive: format=onnx: not installed is what it needs: {remedy}\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "run: give a value"),
        (["run=nowhere"], "run=nowhere: this folder does not exist"),
        (["run=run", "format=onxx"], "format=onxx: must be 'onnx', 'torch_export' or 'safetensors'"),
        (["run=run", "checkpoint=first"], "checkpoint=first: must be 'best' or 'last'"),
        (["run=run", "tolerance=0"], "tolerance=0: must be greater than 0"),
        (["run=run", "dynamic_size=perhaps"], "dynamic_size=perhaps"),
        (["run=run", "opset=0"], "opset=0"),
        (["run=run", "output=net.pt"], "output=net.pt: with format=onnx give a file whose name ends in .onnx"),
        (["run=run", "output=folder.onnx"], "output=folder.onnx: is a folder; give a file"),
        (["run=run", "format=safetensors", "output=run/config.yaml/a.safetensors"], "cannot be written"),
        (["run=run", "fromat=onnx"], "unknown key 'fromat', did you mean 'format'?"),
    ],
)
def test_what_cannot_be_done_is_told(cli: Cli, tmp_path: Path, digit_run: Run, arguments: list[str], told: str) -> None:
    (tmp_path / "folder.onnx").mkdir()
    code, _, err = cli("export", *arguments)
    assert code == 1
    assert told in err
    assert len(err.splitlines()) == 1


def test_an_unfinished_run_is_exported_and_told(cli: Cli, digit_run: Run) -> None:
    digit_run.result_path.unlink()
    code, _, err = cli("export", "run=run", "format=safetensors")
    assert code == 0
    assert err == "receptive: run is interrupted: these are not the weights of a finished run\n"


def test_what_cannot_be_traced_is_told(cli: Cli, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run("model.channels=[4,4,4]")

    def untraceable(self: graph.Normalised, images: torch.Tensor) -> torch.Tensor:
        if images.mean() > 0.5:
            return self.network(images)
        return self.network(-images)

    monkeypatch.setattr(graph.Normalised, "forward", untraceable)
    code, _, err = cli("export", "run=run")
    assert code == 1
    assert "torch.export cannot follow MnistNet" in err
    assert len(err.splitlines()) == 1


def test_a_network_that_onnx_has_no_words_for_is_refused(
    cli: Cli, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run("model.channels=[4,4,4]")
    monkeypatch.setattr(graph.Normalised, "forward", lambda self, images: torch.linalg.qr(self.network(images)).Q)
    code, _, err = cli("export", "run=run")
    assert code == 1
    assert "torch.onnx cannot translate MnistNet: " in err
    assert "linalg_qr" in err
    assert "dynamic_size" not in err  # the size was fixed already
    assert len(err.splitlines()) == 1


def test_an_opset_that_is_too_old_is_refused(cli: Cli, make_run: MakeRun) -> None:
    run = make_run("model.channels=[4,4,4]")
    code, _, err = cli("export", "run=run", "opset=7")
    assert code == 1
    assert "opset=7" in err
    assert not list((run.folder / "export").iterdir())


def test_a_file_that_cannot_be_opened_is_not_kept(cli: Cli, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run("model.channels=[4,4,4]")
    monkeypatch.setattr(safetensors.torch, "save_file", lambda weights, path, told: path.write_bytes(b"torn"))
    code, _, err = cli("export", "run=run", "format=safetensors")
    assert code == 1
    assert "format=safetensors: the exported file cannot be opened again: SafetensorError: " in err
    assert not list((run.folder / "export").iterdir())
