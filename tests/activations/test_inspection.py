"""`receptive activations run=FOLDER` on runs that were really trained."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from tests.conftest import Cli
from torch import Tensor, nn

from receptive.activations import inspection
from receptive.build import trained
from receptive.data.digits import Digits
from receptive.runs import Run

NO_MAPS = ("maps=[]", "average_maps=false")
LAYERS = [f"layers.{number}" for number in range(10)]
KINDS = ["Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d"] * 2 + ["Flatten", "Linear"]


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def write_digits(folder: Path, count: int) -> Tensor:
    """The first training images as PNG files; gives them as they are normalised: (count, 1, 8, 8)."""
    folder.mkdir(parents=True)
    split = Digits().load("train")
    for place in range(count):
        Image.fromarray(split.images[place, 0].numpy()).save(folder / f"{place:03}.png")
    return split.images[:count]


def layer(run: Run, name: str) -> tuple[nn.Module, Tensor]:
    """A layer of a trained net, and what it gives for all training images in order, in float64."""
    experiment = trained(run)
    model = experiment.task.model.eval().double()
    found: list[Tensor] = []
    model.get_submodule(name).register_forward_hook(lambda _, __, output: found.append(output.detach()))
    loader = experiment.data.ordered_loader("train")
    with torch.no_grad():
        for images, _ in loader:
            model(images.double())
    return model.get_submodule(name), torch.cat(found)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures take most of the time; what is not about them does without."""
    for name in ("survey._draw", "maps.save_sheet", "maps.save_overview"):
        monkeypatch.setattr(f"receptive.activations.{name}", lambda *_: None)


def test_everything_of_a_run_of_digits(cli: Cli, digit_run: Run, tmp_path: Path) -> None:
    code, out, err = cli(
        "activations", "run=run", "limit=30", "batch_size=7", "layers=['layers.[0-3]','layers.9']", "maps=[0,5]",
        "probe=true", "correlation=true", "batch_norm=true",
    )  # fmt: skip
    assert (code, err) == (0, "")
    folder = digit_run.folder / "activations" / "train"
    sheets = [f"0{place}_layers.{place}_{KINDS[place]}.png" for place in range(4)]
    assert files(folder) == {
        *("layers.csv", "channels.csv", "histograms.csv", "profile.png", "histograms.png", "channels.png"),
        *("correlation.csv", "correlation.png", "probe.csv", "probe.png", "batch_norm.csv", "batch_norm.png"),
        *("survey.json", "request.json"),
        *(f"average_maps/{name}" for name in sheets),
        *(
            f"maps/{place}_image_{place}/{name}"
            for place in (0, 5)
            for name in [*sheets, "04_layers.9_Linear.png", "overview.png"]
        ),
    }
    for path in folder.rglob("*.png"):
        with Image.open(path) as picture:
            assert picture.format == "PNG" and np.asarray(picture).std() > 0

    _, wanted = layer(digit_run, "layers.2")
    table = pd.read_csv(folder / "layers.csv", index_col="layer")
    assert list(table.index) == [*LAYERS[:4], "layers.9"]
    assert list(table.columns) == [
        "place", "kind", "shape", "images", "mean", "std", "mean_absolute", "zeros", "sampled", "near_zeros", "dark",
        "blank",
    ]  # fmt: skip
    relu = table.loc["layers.2"]
    assert (relu["kind"], relu["shape"], relu["images"]) == ("ReLU", "4x8x8", 30)
    values = wanted[:30].numpy()
    assert relu["mean"] == pytest.approx(values.mean(), rel=1e-3)
    assert relu["std"] == pytest.approx(values.std(), rel=1e-3)
    assert relu["zeros"] == pytest.approx((values == 0).mean(), abs=1e-3)
    assert pd.isna(table.loc["layers.9", "dark"]) and pd.isna(table.loc["layers.9", "blank"])
    channels = pd.read_csv(folder / "channels.csv").query("layer == 'layers.2'")
    np.testing.assert_allclose(channels["mean"], values.mean((0, 2, 3)), rtol=1e-3, atol=1e-5)
    counts = pd.read_csv(folder / "histograms.csv").query("layer == 'layers.2' and channel == 1")
    assert counts["count"].sum() == 30 * 64
    assert ((counts["right"] - counts["left"]) > 0).all()

    correlation = pd.read_csv(folder / "correlation.csv", index_col="layer").loc["layers.2"]
    matrix = np.corrcoef(np.moveaxis(values, 1, 0).reshape(4, -1))
    assert correlation["mean_absolute"] == pytest.approx(np.abs(matrix[np.triu_indices(4, 1)]).mean(), abs=1e-3)
    probes = pd.read_csv(folder / "probe.csv", index_col="layer")
    assert list(probes.index) == list(table.index)
    assert probes["class_accuracy"].between(0, 1).all() and (probes["picture_r2"] <= 1).all()
    assert list(probes["features"]) == [256, 256, 256, 64, 10]

    facts = json.loads((folder / "survey.json").read_text())
    assert facts["images"] == 30 and facts["of"] == "30 images of train" and facts["precision"] == "32-true"
    lines = out.splitlines()
    [told] = [line for line in lines if line.startswith("30 images of train: ")]
    assert told.endswith(f" {facts['images_per_second']:,} images/s, peak memory {facts['peak_memory_mib']:,.0f} MiB")
    [told] = [line for line in lines if line.startswith("moving averages: ")]
    assert told.endswith(" of the exact ones (median)")  # not folded
    assert lines[-1] == "tables and figures: run/activations/train"
    [told] = [line.split() for line in lines if line.startswith("layers.2 ")]
    assert float(told[3]) == pytest.approx(relu["mean"], abs=1e-4)

    before = files(folder)
    again = ("activations", "run=run", "limit=30", "layers=['layers.[0-3]','layers.9']", *NO_MAPS)
    assert cli(*again)[0] == 0
    assert files(folder) == before  # of the same question: what it has answered stays
    for mine in (folder / "mine.csv", folder / "maps" / "0_image_0" / "mine.png"):
        mine.write_text("stays")
    assert cli("activations", "run=run", "limit=5", "layers=layers.0", *NO_MAPS)[0] == 0
    assert files(folder) == {
        *("layers.csv", "channels.csv", "histograms.csv", "profile.png", "histograms.png", "channels.png"),
        *("survey.json", "request.json", "mine.csv", "maps/0_image_0/mine.png"),
    }
    assert not (folder / "average_maps").exists() and not (folder / "maps" / "5_image_5").exists()

    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "probe.csv").write_text("of somebody else")
    assert cli("activations", "run=run", "limit=5", "layers=layers.0", *NO_MAPS, "output=own")[0] == 0
    assert (tmp_path / "own" / "probe.csv").read_text() == "of somebody else"


def test_moving_averages_against_all_training_images(cli: Cli, digit_run: Run, undrawn: None) -> None:
    code, out, _ = cli("activations", "run=run", "limit=10", "maps=[]", "batch_norm=true", "layers=[BatchNorm2d]")
    assert code == 0
    norm, _ = layer(digit_run, "layers.1")
    _, inputs = layer(digit_run, "layers.0")
    assert len(inputs) == 1437  # the held-out images too, whatever the limit
    found = pd.read_csv(digit_run.folder / "activations" / "train" / "batch_norm.csv").query("layer == 'layers.1'")
    mean, variance = inputs.mean((0, 2, 3)).numpy(), inputs.var((0, 2, 3), correction=0).numpy()
    running_mean, running_var = (norm.get_buffer(key).numpy() for key in ("running_mean", "running_var"))
    np.testing.assert_allclose(found["exact_mean"], mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["exact_var"], variance, rtol=1e-4)
    np.testing.assert_allclose(found["running_mean"], running_mean, rtol=1e-5)
    np.testing.assert_allclose(found["mean_shift"], (running_mean - mean) / variance**0.5, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found["variance_ratio"], running_var / variance, rtol=1e-4)
    [before] = re.findall(r"val/accuracy +(\S+) with moving averages, \S+ with exact ones", out)
    rows = pd.read_csv(digit_run.metrics_path)
    assert float(before) == pytest.approx(rows["val/accuracy"].iloc[-1], abs=1e-5)


def test_what_the_exact_ones_change_on_validation(cli: Cli, sibling: Any, undrawn: None) -> None:
    """Kernels three times as large shift both normalisations; the second's shift goes with the first's."""
    run = sibling("scaled", 3.0)
    code, out, _ = cli("activations", "run=scaled", "limit=10", "maps=[]", "batch_norm=true", "average_maps=false")
    assert code == 0
    [(before, after)] = re.findall(r"val/accuracy +(\S+) with moving averages, (\S+) with exact ones", out)
    experiment = trained(run)
    model = experiment.task.model.train()  # batch statistics of the whole training set are the exact ones
    for own in model.modules():
        if isinstance(own, nn.BatchNorm2d):
            own.momentum = 1.0
    with torch.no_grad():
        model(torch.cat([images for images, _ in experiment.data.ordered_loader("train")]))
        model.eval()
        right = [
            (model(images).argmax(1) == labels).float() for images, labels in experiment.data.ordered_loader("val")
        ]
    assert float(after) == pytest.approx(float(torch.cat(right).mean()), abs=0.0101)
    assert abs(float(after) - float(before)) > 0.03


def test_after_a_report_the_net_is_as_before(cli: Cli, digit_run: Run, undrawn: None, monkeypatch: Any) -> None:
    seen: list[Any] = []
    original = inspection.batch_norm.report

    def looked_at(context: Any) -> None:
        model = context.experiment.task.model
        before = {key: value.clone() for key, value in model.state_dict().items()}
        original(context)
        seen.append(all(torch.equal(value, before[key]) for key, value in model.state_dict().items()))

    monkeypatch.setattr(inspection.batch_norm, "report", looked_at)
    assert cli("activations", "run=run", "limit=10", "maps=[]", "batch_norm=true")[0] == 0
    assert seen == [True]


def test_a_unet(cli: Cli, phantom_run: Run) -> None:
    code, _, err = cli("activations", "run=run", "split=test", "maps=1", "layers=[Upsample,head]", "probe=true")
    assert (code, err) == (0, "")
    folder = phantom_run.folder / "activations" / "test"
    table = pd.read_csv(folder / "layers.csv")
    assert list(table["kind"]) == ["Upsample", "Conv2d"] and set(table["images"]) == {3}
    assert len(list(folder.glob("maps/1_*/*.png"))) == len(table) + 1
    assert len(list(folder.glob("average_maps/*.png"))) == len(table)
    probes = pd.read_csv(folder / "probe.csv")
    assert probes["class_accuracy"].isna().all()
    assert probes["picture_r2"].notna().all()


class TestImages:
    def means(self, folder: Path) -> Any:
        return pd.read_csv(folder / "layers.csv", index_col="layer")["mean"]

    @pytest.mark.parametrize(
        ("options", "places"),
        [
            (["images=[3,17,5]"], [3, 17, 5]),
            (["images=[3,17,5]", "limit=2"], [3, 17]),
            (["images=4"], [4]),
            (["limit=6", "batch_size=4"], range(6)),
            (["limit=9999"], range(1437)),
        ],
        ids=str,
    )
    def test_chosen_places(self, cli: Cli, digit_run: Run, undrawn: None, options: list[str], places: Any) -> None:
        assert cli("activations", "run=run", *NO_MAPS, *options)[0] == 0
        folder = digit_run.folder / "activations" / "train"
        _, wanted = layer(digit_run, "layers.0")
        assert self.means(folder)["layers.0"] == pytest.approx(float(wanted[list(places)].mean()), rel=1e-3, abs=1e-5)
        assert json.loads((folder / "survey.json").read_text())["images"] == len(places)

    @pytest.mark.parametrize(("split", "count"), [("train", 1437), ("val", 100), ("test", 360)])
    def test_parts_of_the_data(self, cli: Cli, digit_run: Run, undrawn: None, split: str, count: int) -> None:
        assert cli("activations", "run=run", *NO_MAPS, f"split={split}", "layers=layers.0")[0] == 0
        table = pd.read_csv(digit_run.folder / "activations" / split / "layers.csv")
        assert list(table["layer"]) == ["layers.0"]
        assert list(table["images"]) == [count]

    def test_ones_own_files(self, cli: Cli, digit_run: Run, undrawn: None, tmp_path: Path) -> None:
        write_digits(tmp_path / "in", 9)
        assert cli("activations", "run=run", *NO_MAPS, "images=[0,1,2,3,4,5,6,7,8]", "output=wanted")[0] == 0
        assert cli("activations", "run=run", *NO_MAPS, "input=in", "batch_size=4")[0] == 0
        assert cli("activations", "run=run", *NO_MAPS, "input=in/004.png", "output=one")[0] == 0
        assert cli("activations", "run=run", *NO_MAPS, "images=4", "output=four")[0] == 0
        pd.testing.assert_series_equal(
            self.means(digit_run.folder / "activations" / "input"),
            self.means(tmp_path / "wanted"),
            rtol=1e-4,
            atol=1e-6,
        )
        pd.testing.assert_series_equal(
            self.means(tmp_path / "one"), self.means(tmp_path / "four"), rtol=1e-4, atol=1e-6
        )

    def test_the_first_of_ones_own_files(self, cli: Cli, digit_run: Run, undrawn: None, tmp_path: Path) -> None:
        write_digits(tmp_path / "in", 5)
        assert cli("activations", "run=run", *NO_MAPS, "images=[0,1,2]", "output=wanted")[0] == 0
        few = ("maps=4", "input=in", "limit=3", "batch_size=2")
        assert cli("activations", "run=run", "average_maps=false", *few)[0] == 0
        folder = digit_run.folder / "activations" / "input"
        pd.testing.assert_series_equal(self.means(folder), self.means(tmp_path / "wanted"), rtol=1e-4, atol=1e-6)
        assert json.loads((folder / "survey.json").read_text())["of"] == "3 images of in"

    def test_maps_of_ones_own_files(self, cli: Cli, digit_run: Run, tmp_path: Path) -> None:
        write_digits(tmp_path / "in" / "some images", 2)
        options = ("input=in", "output=out", "maps=[1]", "average_maps=false", "layers=[layers.0]")
        assert cli("activations", "run=run", *options)[0] == 0
        assert files(tmp_path / "out" / "maps") == {
            f"1_some_images_001/{name}" for name in ("00_layers.0_Conv2d.png", "overview.png")
        }

    def test_the_closer_look_is_spread_over_the_set(self, cli: Cli, digit_run: Run, undrawn: None) -> None:
        assert cli("activations", "run=run", *NO_MAPS, "limit=100", "histogram_images=30", "layers=layers.9")[0] == 0
        folder = digit_run.folder / "activations" / "train"
        assert pd.read_csv(folder / "layers.csv")["sampled"].tolist() == [25]  # each fourth
        assert pd.read_csv(folder / "histograms.csv")["count"].sum() == 25 * 10


def test_of_a_single_image_no_average_is_drawn(cli: Cli, digit_run: Run, tmp_path: Path) -> None:
    assert cli("activations", "run=run", "images=3", "maps=[]", "layers=[layers.0]", "output=out")[0] == 0
    assert not (tmp_path / "out" / "average_maps").exists() and not (tmp_path / "out" / "maps").exists()
    assert (tmp_path / "out" / "layers.csv").is_file()


def test_the_last_checkpoint(cli: Cli, digit_run: Run, undrawn: None, tmp_path: Path) -> None:
    state = torch.load(digit_run.checkpoints / "last.ckpt", weights_only=True)
    [key] = [key for key in state["state_dict"] if key.endswith("layers.0.bias")]
    state["state_dict"][key] += 5
    torch.save(state, digit_run.checkpoints / "last.ckpt")
    means = []
    for name in ("best", "last"):
        options = ("limit=20", "layers=layers.0", f"checkpoint={name}", f"output={name}")
        assert cli("activations", "run=run", *NO_MAPS, *options)[0] == 0
        means.append(pd.read_csv(tmp_path / name / "layers.csv")["mean"][0])
    assert means[1] == pytest.approx(means[0] + 5, rel=1e-4)


def test_an_unfinished_run_is_looked_at_with_a_warning(cli: Cli, digit_run: Run, undrawn: None) -> None:
    digit_run.result_path.unlink()
    code, _, err = cli("activations", "run=run", *NO_MAPS, "limit=5")
    assert code == 0
    assert err == "receptive: run is interrupted: these are not the activations of a finished run\n"


def test_ones_own_images_need_none_of_the_runs_data(cli: Cli, tmp_path: Path, mnist_root: Path, undrawn: None) -> None:
    options = ("data=mnist", f"paths.data_dir={mnist_root}", "data.validation=20", "model.channels=[2,2,2]")
    code, _, err = cli("train", "hydra.run.dir=run", *options, "trainer.max_epochs=1", "trainer.limit_train_batches=1")
    assert (code, err) == (0, "")
    mnist_root.rename(tmp_path / "elsewhere")
    write_digits(tmp_path / "in", 2)
    assert cli("activations", "run=run", "input=in", *NO_MAPS)[0] == 0
    assert cli("activations", "run=run", *NO_MAPS)[0] == 1
    assert cli("activations", "run=run", f"paths.data_dir={tmp_path / 'elsewhere'}", *NO_MAPS)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "give run=FOLDER, or compare=[FOLDER,FOLDER,...]"),
        (["run=nowhere"], "run=nowhere: this folder does not exist"),
        (["run=in"], "run=in: this folder holds no config.yaml"),
        (["run=run", "layers=[layers.11]"], "layers: there is no 'layers.11'; the nearest names are layers."),
        (["run=run", "layers=Conv3d"], "nearest names are Conv2d"),
        (["run=run", "layers=[]"], "layers=[]: give names, kinds or patterns"),
        (["run=run", "maps=1437"], "maps=1437: the train set has 1437 images, counted from 0"),
        (["run=run", "maps=-1"], "maps=-1: must be a valid list or greater than or equal to 0"),
        (["run=run", "maps=first"], "maps=first"),
        (["run=run", "images=-1"], "images=-1: must be a valid list or greater than or equal to 0"),
        (["run=run", "images=[0,1437]"], "images=1437: the train set has 1437 images"),
        (["run=run", "images=[true]"], "images=[true]: must be a valid integer"),
        (["run=run", "images=[]"], "images=[]: holds no image"),
        (["run=run", "split=foo"], "split=foo: must be 'train', 'val' or 'test'"),
        (["run=run", "batch_size=0"], "batch_size=0: must be greater than or equal to 1"),
        (["run=run", "batch_size=1.5"], "batch_size=1.5"),
        (["run=run", "limit=0"], "limit=0: must be greater than or equal to 1"),
        (["run=run", "histogram_images=0"], "histogram_images=0: must be greater than or equal to 1"),
        (["run=run", "probe=maybe"], "probe=maybe"),
        (["run=run", "checkpoint=first"], "checkpoint=first: must be 'best' or 'last'"),
        (["run=run", "output=run/config.yaml"], "output=run/config.yaml cannot be written"),
        (["run=run", "input=nowhere"], "input=nowhere: does not exist"),
        (["run=run", "input=empty"], "there is no image in this folder"),
        (["run=run", "input=in", "images=[1]"], "images= is of a split: give it without input="),
        (["run=run", "input=in", "maps=2"], "maps=2: input holds 2 images, counted from 0"),
        (["run=run", "input=torn", "maps=[]"], "torn.png"),
        (["run=run", "input=torn", "maps=1"], "torn.png"),
        (["run=run", "input=deep"], "more than 8 bits"),
        (["run=run", "output=in", "input=in"], "output=in: is the input's folder or holds it"),
        (["run=run", "+limits=3"], "limits: there is no such option, did you mean 'limit'?"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_told(
    cli: Cli, tmp_path: Path, digit_run: Run, undrawn: None, arguments: list[str], told: str
) -> None:
    write_digits(tmp_path / "in", 2)
    for name in ("empty", "torn", "deep"):
        (tmp_path / name).mkdir()
    (tmp_path / "torn" / "000.png").write_bytes((tmp_path / "in" / "000.png").read_bytes())
    (tmp_path / "torn" / "torn.png").write_bytes((tmp_path / "in" / "000.png").read_bytes()[:60])
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(tmp_path / "deep" / "deep.png")
    code, _, err = cli("activations", *arguments)
    assert code == 1
    assert told in err
    assert err.startswith("receptive: ") and len(err.splitlines()) == 1


def test_a_run_without_a_checkpoint_is_told(cli: Cli, digit_run: Run) -> None:
    (digit_run.checkpoints / "best.ckpt").unlink()
    digit_run.result_path.unlink()
    code, _, err = cli("activations", "run=run")
    assert code == 1
    assert "best.ckpt does not exist: the run has not saved it" in err


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("split=val", "split=val: holds no image"),
        ("probe=true", "probe=true: the run has held out no images (data.validation) to judge the probes on"),
    ],
)
def test_a_run_that_held_out_no_images(
    cli: Cli, sibling: Any, undrawn: None, tmp_path: Path, option: str, told: str
) -> None:
    sibling("bare", data__validation=0)
    code, _, err = cli("activations", "run=bare", *NO_MAPS, "limit=5", option)
    assert code == 1
    assert told in err
    assert err.startswith("receptive: ") and len(err.splitlines()) == 1
    assert not (tmp_path / "bare" / "activations").exists()  # told before anything is computed


def test_moving_averages_of_channels_that_never_change(cli: Cli, sibling: Any, undrawn: None) -> None:
    """A dead network is not an error: its kernels are 0."""
    run = sibling("dead", 0.0)
    options = ("limit=5", "batch_norm=true", "correlation=true", "probe=true")
    code, _, err = cli("activations", "run=dead", *NO_MAPS, *options)
    assert (code, err) == (0, "")
    table = pd.read_csv(run.folder / "activations" / "train" / "batch_norm.csv")
    assert table[["mean_shift", "variance_ratio"]].isna().all(axis=None)
    assert (table["exact_var"] < 1e-12).all()


def test_moving_averages_of_a_net_without_them(cli: Cli, digit_run: Run, undrawn: None) -> None:
    code, _, err = cli("activations", "run=run", *NO_MAPS, "limit=5", "layers=[Conv2d]", "batch_norm=true")
    assert code == 1
    assert "batch_norm=true: no layer that is looked at keeps moving averages" in err
    assert not (digit_run.folder / "activations").exists()


def test_a_run_that_is_broken_off_leaves_no_answer(
    cli: Cli, digit_run: Run, undrawn: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables of two questions may lie side by side then: none may pass for the first one's."""
    assert cli("activations", "run=run", *NO_MAPS, "limit=5")[0] == 0
    request = digit_run.folder / "activations" / "train" / "request.json"
    assert request.is_file()
    assert cli("activations", "run=run", "limit=5", "maps=1437")[0] == 1
    assert request.is_file()  # nothing was begun

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(inspection.correlation, "report", stop)
    assert cli("activations", "run=run", *NO_MAPS, "limit=6", "correlation=true")[0] == 130
    assert json.loads(request.read_text()) == {}
