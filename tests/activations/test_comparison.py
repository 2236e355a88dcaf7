"""Networks side by side: which runs are one network, which layers stand beside which, and spread over seeds."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.conftest import Cli

from receptive.activations import comparison
from receptive.activations.comparison import aligned, networks_of
from receptive.data.digits import Digits
from receptive.errors import InputError
from receptive.runs import Run

FEW = ("limit=20", "maps=[]", "layers=['layers.[0-3]']")


def shown(sequences: Sequence[Sequence[str]]) -> list[tuple[str | None, ...]]:
    """The kinds in place of the places."""
    return [
        tuple(None if place is None else kinds[place] for place, kinds in zip(row, sequences, strict=True))
        for row in aligned(sequences)
    ]


class TestAligned:
    def test_equal_networks(self) -> None:
        assert aligned(["CRP", "CRP"]) == [[0, 0], [1, 1], [2, 2]]

    def test_a_layer_that_one_has_not_got(self) -> None:
        assert shown(["CBRP", "CRP"]) == [("C", "C"), ("B", None), ("R", "R"), ("P", "P")]
        assert shown(["CRP", "CBRP"]) == [("C", "C"), (None, "B"), ("R", "R"), ("P", "P")]

    def test_layers_of_another_kind_stand_one_after_the_other(self) -> None:
        assert shown(["CRC", "CEC"]) == [("C", "C"), ("R", None), (None, "E"), ("C", "C")]

    def test_three_networks(self) -> None:
        assert shown(["CR", "CBR", "BRL"]) == [
            ("C", "C", None), (None, "B", "B"), ("R", "R", "R"), (None, None, "L"),
        ]  # fmt: skip

    def test_one_without_layers(self) -> None:
        assert aligned(["", "CR"]) == [[None, 0], [None, 1]]
        assert aligned(["CR", ""]) == [[0, None], [1, None]]

    @settings(max_examples=200, deadline=None)
    @given(st.lists(st.text("CRPB", max_size=12), min_size=1, max_size=4))
    def test_every_network_is_there_once_and_in_order(self, sequences: list[str]) -> None:
        rows = aligned(sequences)
        for number, kinds in enumerate(sequences):
            assert [row[number] for row in rows if row[number] is not None] == list(range(len(kinds)))
        for row in rows:
            assert len({kinds[place] for place, kinds in zip(row, sequences, strict=True) if place is not None}) == 1


class TestNetworks:
    def test_runs_that_differ_in_the_seed_alone_are_one(self, digit_run: Run, sibling: Any) -> None:
        again, elu = sibling("again", seed=1), sibling("elu", model__activation="elu")
        networks = networks_of([str(run.folder) for run in (digit_run, elu, again)])
        assert [network.name for network in networks] == ["activation=relu", "activation=elu"]
        assert [[run.folder.name for run in network.runs] for network in networks] == [["run", "again"], ["elu"]]

    def test_a_run_named_twice_is_counted_once(self, digit_run: Run, sibling: Any) -> None:
        elu, folder = sibling("elu", model__activation="elu"), digit_run.folder
        [first, _] = networks_of([str(folder), str(elu.folder), str(folder / ".." / folder.name)])
        assert len(first.runs) == 1

    def test_the_folder_of_a_sweep_is_all_its_runs(self, digit_run: Run, sibling: Any, tmp_path: Path) -> None:
        (tmp_path / "sweep").mkdir()
        for name, changes in (("a", {"seed": 1}), ("b", {"model__activation": "elu"}), ("c", {"seed": 2})):
            sibling(name, **changes).folder.rename(tmp_path / "sweep" / name)
        (tmp_path / "sweep" / "figures").mkdir()
        networks = networks_of([str(tmp_path / "sweep")])
        assert [[run.folder.name for run in network.runs] for network in networks] == [["a", "c"], ["b"]]

    def test_of_a_sweep_what_is_not_done_is_left_out(
        self, digit_run: Run, sibling: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "sweep").mkdir()
        runs = [sibling("a"), sibling("b", model__activation="elu"), sibling("c", seed=2)]
        for run in runs:
            run.folder.rename(tmp_path / "sweep" / run.folder.name)
        (tmp_path / "sweep" / "c" / "result.json").unlink()
        networks = networks_of([str(tmp_path / "sweep")])
        assert [[run.folder.name for run in network.runs] for network in networks] == [["a"], ["b"]]
        assert capsys.readouterr().err.endswith("sweep: 1 of 3 runs are not done and left out\n")
        for name in "ab":
            (tmp_path / "sweep" / name / "result.json").unlink()
        with pytest.raises(InputError, match="none of its 3 runs is done"):
            networks_of([str(tmp_path / "sweep")])

    def test_names_are_of_the_model_alone_where_that_tells_them_apart(self, digit_run: Run, sibling: Any) -> None:
        other = sibling("other", model__activation="elu", optimizer__lr=0.5)
        assert networks_of([str(digit_run.folder), str(other.folder)])[1].name == "activation=elu"

    def test_else_of_all_that_differs(self, digit_run: Run, sibling: Any) -> None:
        runs = [
            digit_run,
            sibling("b", model__activation="elu"),
            sibling("c", model__activation="elu", optimizer__lr=0.5),
        ]
        assert [network.name for network in networks_of([str(run.folder) for run in runs])] == [
            "activation=relu, lr=0.001", "activation=elu, lr=0.001", "activation=elu, lr=0.5",
        ]  # fmt: skip

    def test_of_classes_alone_the_last_part_is_the_name(self, digit_run: Run, sibling: Any) -> None:
        tagged = [sibling(tag, model__name=f"{tag}.tv_in1k") for tag in ("resnet18", "resnet34")]
        assert [network.name for network in networks_of([str(run.folder) for run in tagged])] == [
            "name=resnet18.tv_in1k", "name=resnet34.tv_in1k",
        ]  # fmt: skip
        other = sibling("other", model___target_="receptive.models.unet.UNet")
        assert [network.name for network in networks_of([str(digit_run.folder), str(other.folder)])] == [
            "_target_=MnistNet", "_target_=UNet",
        ]  # fmt: skip

    def test_one_network_is_nothing_to_compare(self, digit_run: Run, sibling: Any) -> None:
        with pytest.raises(InputError, match="all these runs are of one network"):
            networks_of([str(digit_run.folder), str(sibling("again", seed=1).folder)])

    @pytest.mark.parametrize(("name", "told"), [("nowhere", "does not exist"), ("empty", "holds no config.yaml")])
    def test_a_folder_without_a_run(self, digit_run: Run, tmp_path: Path, name: str, told: str) -> None:
        (tmp_path / "empty").mkdir()
        with pytest.raises(InputError, match=f"compare=.*{name}: this folder {told}"):
            networks_of([str(digit_run.folder), str(tmp_path / name)])


@pytest.fixture
def three(digit_run: Run, sibling: Any) -> list[Run]:
    """Two seeds of one network (the second's kernels are three times as large), and another network."""
    return [digit_run, sibling("again", 3.0, seed=1), sibling("elu", model__activation="elu")]


def test_tables_and_figures_of_two_networks(cli: Cli, three: list[Run], tmp_path: Path) -> None:
    code, out, err = cli("activations", "compare=[run,elu,again]", "output=out", "limit=20", "layers=['layers.[0-3]']")
    assert (code, err) == (0, "")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "comparison.csv", "comparison.png", "maps_0.png",
    ]  # fmt: skip
    tables = [pd.read_csv(run.activations / "compared" / "train" / "layers.csv") for run in three]
    found = pd.read_csv(tmp_path / "out" / "comparison.csv")
    assert list(found) == ["layer", "name", "network", "quantity", "mean", "std", "runs"]
    for quantity in ("mean_absolute", "zeros", "near_zeros", "dark", "blank"):
        own = found[(found["quantity"] == quantity) & (found["network"] == "activation=relu")]
        assert list(own["layer"]) == ["Conv2d 1", "BatchNorm2d 1", "ReLU 1", "MaxPool2d 1"]
        assert list(own["name"]) == [f"layers.{number}" for number in range(4)]
        values = np.stack([table[quantity] for table in tables[:2]])
        np.testing.assert_allclose(own["mean"], values.mean(0), rtol=1e-4)
        np.testing.assert_allclose(own["std"], values.std(0, ddof=1), rtol=1e-4, atol=1e-6)
        assert set(own["runs"]) == {2}
        single = found[(found["quantity"] == quantity) & (found["network"] == "activation=elu")]
        assert list(single["layer"]) == ["Conv2d 1", "BatchNorm2d 1", "ELU 1", "MaxPool2d 1"]
        np.testing.assert_allclose(single["mean"], tables[2][quantity], rtol=1e-4)
        assert single["std"].isna().all() and set(single["runs"]) == {1}
    assert found.loc[found["quantity"] == "mean_absolute", "std"].max() > 0.1
    lines = [line.split() for line in out.splitlines()]
    [relu] = [line for line in lines if line[:3] == ["activation=relu", "2", "ReLU"]]
    wanted = np.mean([table["zeros"][2] for table in tables[:2]])
    assert float(relu[4]) == pytest.approx(wanted, abs=1e-4)
    assert lines[-1][-1] == "out"


def test_statistics_that_lie_there_are_used_again(
    cli: Cli, three: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[str] = []
    original = comparison.inspect

    def counted(run: Run, *arguments: Any) -> Any:
        computed.append(run.folder.name)
        return original(run, *arguments)

    monkeypatch.setattr(comparison, "inspect", counted)
    for figure in (
        "survey.save_profile",
        "survey.save_histograms",
        "survey.save_channels",
        "comparison.save_comparison",
    ):
        monkeypatch.setattr(f"receptive.activations.{figure}", lambda *_: None)  # they take the time

    def compare(*options: str) -> list[str]:
        computed.clear()
        assert cli("activations", "compare=[run,elu]", "output=out", *FEW, *options)[0] == 0
        return list(computed)

    assert compare() == ["run", "elu"]
    first = (tmp_path / "out" / "comparison.csv").read_text()
    assert compare() == []
    assert (tmp_path / "out" / "comparison.csv").read_text() == first
    assert compare("limit=21") == ["run", "elu"]
    folder = three[2].folder
    later = (three[2].activations / "compared" / "train" / "request.json").stat().st_mtime + 5
    os.utime(folder / "checkpoints" / "best.ckpt", (later, later))
    assert compare("limit=21") == ["elu"]
    (three[0].activations / "compared" / "train" / "layers.csv").unlink()
    os.utime(folder / "checkpoints" / "best.ckpt", (0, 0))
    assert compare("limit=21") == ["run"]
    request = three[0].activations / "compared" / "train" / "request.json"
    assert json.loads(request.read_text())["limit"] == 21
    assert compare("limit=21", f"paths.data_dir={tmp_path / 'elsewhere'}") == ["run", "elu"]  # digits lie nowhere
    for value in (0, 100):  # another image of the same size under the same name
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.new("L", (8, 8), value).save(tmp_path / "in" / "a.bmp")
        os.utime(tmp_path / "in" / "a.bmp", (0, 0))
        assert compare("input=in") == ["run", "elu"]
        assert compare("input=in") == []


def test_what_was_asked_of_one_run_is_used_and_stays(
    cli: Cli, three: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    for figure in ("survey._draw", "comparison.save_comparison"):
        monkeypatch.setattr(f"receptive.activations.{figure}", lambda *_: None)
    assert cli("activations", "run=run", *FEW, "correlation=true")[0] == 0
    own = three[0].activations / "train"
    before = {path: path.read_bytes() for path in own.iterdir()}
    assert cli("activations", "compare=[run,elu]", *FEW)[0] == 0
    assert not (three[0].activations / "compared").exists()
    assert cli("activations", "compare=[run,elu]", *FEW, "limit=10")[0] == 0
    assert (three[0].activations / "compared" / "train" / "layers.csv").is_file()
    assert {path: path.read_bytes() for path in own.iterdir()} == before


def test_a_network_is_built_once_for_the_maps_of_all_images(
    cli: Cli, three: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[str] = []
    drawn: dict[str, tuple[Any, dict[str, Any]]] = {}
    original = comparison.look_at

    def counted(run: Run, *arguments: Any) -> Any:
        built.append(run.folder.name)
        return original(run, *arguments)

    def kept(pixels: Any, networks: dict[str, Any], title: str, path: Path) -> None:
        drawn[path.name] = (pixels, networks)

    monkeypatch.setattr(comparison, "look_at", counted)
    monkeypatch.setattr(comparison, "save_side_by_side", kept)
    for figure in ("survey._draw", "comparison.save_comparison"):
        monkeypatch.setattr(f"receptive.activations.{figure}", lambda *_: None)
    assert cli("activations", "compare=[run,again,elu]", *FEW, "maps=[0,3]")[0] == 0
    assert built == ["run", "elu"]
    split = Digits().load("train")
    for place, (pixels, networks) in zip((0, 3), (drawn["maps_0.png"], drawn["maps_3.png"]), strict=True):
        assert np.array_equal(pixels, split.images[place].numpy())
        kinds = {name: [cell and cell[0].partition(" ")[2] for cell in cells] for name, cells in networks.items()}
        assert kinds == {
            "activation=relu": ["Conv2d", "BatchNorm2d", "ReLU", None, "MaxPool2d"],
            "activation=elu": ["Conv2d", "BatchNorm2d", None, "ELU", "MaxPool2d"],
        }


def test_an_unfinished_run_is_compared_with_a_warning(
    cli: Cli, three: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "save_comparison", lambda *_: None)
    three[2].result_path.unlink()
    code, _, err = cli("activations", "compare=[run,elu]", *FEW)
    assert code == 0
    assert err == "receptive: elu is interrupted: these are not the activations of a finished run\n"


def test_layers_without_maps_are_compared_too(cli: Cli, three: list[Run], tmp_path: Path) -> None:
    code, _, err = cli("activations", "compare=[run,elu]", "output=out", "limit=3", "layers=[Linear]")
    assert (code, err) == (0, "")
    assert (tmp_path / "out" / "maps_0.png").is_file()
    assert set(pd.read_csv(tmp_path / "out" / "comparison.csv")["quantity"]) == {"mean_absolute", "zeros", "near_zeros"}


def test_runs_of_one_network_with_other_layers_are_told(
    cli: Cli, three: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = iter([["a", "b"], ["a", "c"], ["a"]])

    def given(*_: Any) -> list[dict[str, str]]:
        row = dict.fromkeys(("mean_absolute", "zeros", "near_zeros", "dark", "blank"), "")
        return [row | {"layer": name, "kind": "ReLU", "images": "3"} for name in next(tables)]

    monkeypatch.setattr(comparison, "surveyed", given)
    code, _, err = cli("activations", "compare=[run,again,elu]", *FEW)
    assert code == 1
    assert "the runs of activation=relu have not the same layers" in err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["compare=[run]"], "all these runs are of one network"),
        (["compare=[]"], "one network"),
        (["compare=run"], "all these runs are of one network"),
        (["compare=3"], "compare=3: this folder does not exist"),
        (["compare=[run,nowhere]"], "compare=nowhere: this folder does not exist"),
        (["compare=[run,elu]", "probe=true"], "probe=true is of one network: give run=FOLDER"),
        (["compare=[run,elu]", "batch_norm=true"], "batch_norm=true is of one network"),
        (["compare=[run,elu]", "correlation=true"], "correlation=true is of one network"),
        (["compare=[run,elu]", "run=run"], "give run=FOLDER, or compare"),
        (["compare=[run,elu]", "output=run/config.yaml"], "output=run/config.yaml cannot be written"),
        (["compare=[run,elu]", "maps=99999"], "maps=99999: the train set has 1437 images"),
    ],
)
def test_what_cannot_be_compared_is_told(cli: Cli, three: list[Run], arguments: list[str], told: str) -> None:
    code, _, err = cli("activations", *FEW, *arguments)
    assert code == 1
    assert told in err
    assert len(err.splitlines()) == 1
    assert not any(run.activations.exists() for run in three)  # told before anything is surveyed
