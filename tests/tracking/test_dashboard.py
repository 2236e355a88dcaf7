"""A study's workspace and report page: what is in them, and that they are replaced, not added to."""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Cli
from tests.report.conftest import RunFolders
from tests.tracking.backend import Backend

CLAIM: dict[str, Any] = {
    "id": "R1",
    "text": "The larger rate is better",
    "metric": "val/accuracy",
    "reported": "yes | clearly",
    "better": {"optimizer.lr": 0.1},
    "than": {"optimizer.lr": 0.01},
}
# as the package's own examples have them, sent to W&B and drawn there
LINES, BARS, SCATTER = "Run History Line Plot", "Bar Chart", "Scatter Plot"
PARALLEL, IMPORTANCE, COMPARER = "Parallel Coordinates Plot", "Parameter Importance", "Run Comparer"
MEDIA, MARKDOWN, CHART, TABLE = "Media Browser", "Markdown Panel", "Vega2", "Weave"


@pytest.fixture
def folders(tmp_path: Path) -> RunFolders:
    return RunFolders(tmp_path / "sweep")


@pytest.fixture(autouse=True)
def nobodys_settings(offline: Path) -> None:
    """No key and no settings but those of a test."""


def printed(cli: Cli, *arguments: str) -> dict[str, Any]:
    code, out, err = cli("wandb", "dashboard", "sweep", "--print", *arguments)
    assert (code, err) == (0, "")
    content: dict[str, Any] = json.loads(out)
    return content


def sections(content: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Section -> its panels, of a workspace."""
    bank = content["workspace"]["spec"]["section"]["panelBankConfig"]
    return {section["name"]: section["panels"] for section in bank["sections"]}


def kinds(panels: list[dict[str, Any]]) -> list[str]:
    return [panel["viewType"] for panel in panels]


def config_of(panels: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    [found] = [panel["config"] for panel in panels if panel["viewType"] == kind]
    return dict(found)


def runs_of(content: Mapping[str, Any]) -> dict[str, Any]:
    [runs] = content["workspace"]["spec"]["section"]["runSets"]
    return dict(runs)


def filters(runs: Mapping[str, Any]) -> dict[str, str]:
    return {one["key"]["name"]: one["value"] for one in runs["filters"]["filters"] if one["op"] == "="}


def blocks(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    return list(content["report"]["spec"]["blocks"])


def headings(content: Mapping[str, Any]) -> list[str]:
    return [block["children"][0]["text"] for block in blocks(content) if block["type"] == "heading"]


def markdown(content: Mapping[str, Any]) -> str:
    return "\n".join(block["content"] for block in blocks(content) if block["type"] == "markdown-block")


def test_a_study_of_two_numbers_with_seeds(folders: RunFolders, cli: Cli) -> None:
    folders.add_grid({"optimizer.lr": ["0.1", "0.01"], "data.batch_size": ["16", "32"]}, pictures=["history"])
    of_16 = {"data.batch_size": 16}
    folders.manifest("width", [CLAIM | {"better": CLAIM["better"] | of_16, "than": CLAIM["than"] | of_16}])
    content = printed(cli, "--project", "nets", "--entity", "me")
    workspace, runs = content["workspace"], runs_of(content)
    assert (workspace["entity"], workspace["project"], workspace["displayName"]) == ("me", "nets", "width")
    assert filters(runs) == {"group": "width", "jobType": "train"}
    assert [(key["section"], key["name"]) for key in runs["grouping"]] == [
        ("config", "optimizer/lr.value"),
        ("config", "data/batch_size.value"),
    ]
    assert runs["sort"]["keys"] == [{"key": {"section": "summary", "name": "test/accuracy"}, "ascending": False}]
    found = sections(content)
    assert list(found) == ["Sweep", "Curves", "Media", "Claims"]
    assert kinds(found["Sweep"]) == [PARALLEL, IMPORTANCE, SCATTER, BARS, COMPARER]
    columns = config_of(found["Sweep"], PARALLEL)["columns"]
    assert [(column["accessor"], column.get("log", False)) for column in columns] == [
        ("config:optimizer/lr.value", True),  # a decade
        ("config:data/batch_size.value", False),  # a factor of two
        ("summary:test/accuracy", False),
    ]
    assert config_of(found["Sweep"], IMPORTANCE)["targetKey"] == "test/accuracy"
    scatter = config_of(found["Sweep"], SCATTER)
    assert scatter["xAxis"] == "config:optimizer/lr.value"
    assert scatter["yAxis"] == "config:data/batch_size.value"
    assert scatter["zAxis"] == "summary:test/accuracy"
    assert scatter["xAxisLogScale"] is True
    assert "yAxisLogScale" not in scatter
    assert config_of(found["Sweep"], COMPARER) == {"diffOnly": "split"}
    lines = [panel["config"] for panel in found["Curves"]]
    assert [line["metrics"] for line in lines] == [["val/accuracy"], ["val/loss"], ["train/loss"]]
    for line in lines:
        assert (line["xAxis"], line["groupAgg"], line["groupArea"]) == ("epoch", "mean", "stddev")
    assert kinds(found["Media"]) == [CHART, TABLE, MEDIA]
    assert config_of(found["Media"], CHART)["panelDefId"] == "wandb/confusion_matrix/v1"
    assert config_of(found["Media"], MEDIA)["mediaKeys"] == ["figures/history"]
    claims = config_of(found["Claims"], MARKDOWN)["value"]
    assert "| R1 | The larger rate is better | yes \\| clearly |" in claims
    assert "| holds |" in claims


def test_the_page_of_a_study(folders: RunFolders, cli: Cli) -> None:
    folders.add_grid({"optimizer.lr": ["0.1", "0.01"]})
    folders.add({"optimizer.lr": "0.1"}, seed=9, state="failed", error="out of memory")
    folders.manifest("rates", [CLAIM])
    content = printed(cli)
    report = content["report"]
    assert report["displayName"] == "rates"
    assert headings(content) == ["Claims", "Summary", "Sweep", "Curves", "Media", "Not done", "Again"]
    assert cli("report", "sweep")[0] == 0
    summary = (folders.root / "summary.md").read_text()
    [table] = [part for part in summary.split("\n\n") if part.startswith("| lr |")]
    assert table in markdown(content)
    for told in ("| holds |", "- failed: out of memory", "receptive train study=rates"):
        assert told in markdown(content)
    grids = [block["metadata"] for block in blocks(content) if block["type"] == "panel-grid"]
    for grid in grids:
        [runs] = grid["runSets"]
        assert filters(runs) == {"group": "rates", "jobType": "train"}
        assert [key["name"] for key in runs["grouping"]] == ["optimizer/lr.value"]
        panels = grid["panelBankSectionConfig"]["panels"]
        places = {(x, y) for panel in panels for x, y in covered(panel["layout"])}
        assert len(places) == sum(panel["layout"]["w"] * panel["layout"]["h"] for panel in panels)
        assert max(x for x, _ in places) < 24
    one_key = [panel["config"] for panel in sections(content)["Curves"]]
    assert {line["groupBy"] for line in one_key} == {"optimizer/lr.value"}


def covered(layout: Mapping[str, int]) -> list[tuple[int, int]]:
    columns, rows = range(layout["w"]), range(layout["h"])
    return [(layout["x"] + x, layout["y"] + y) for x in columns for y in rows]


def test_one_parameter_without_seeds(folders: RunFolders, cli: Cli) -> None:
    for rate, score in (("0.1", 0.9), ("0.003", 0.8)):
        folders.add({"optimizer.lr": rate}, seed=None, score=score)
    folders.manifest()
    content = printed(cli)
    assert filters(runs_of(content)) == {"group": "sweep", "jobType": "train"}
    assert runs_of(content)["grouping"] == []
    found = sections(content)
    scatter = config_of(found["Sweep"], SCATTER)
    assert (scatter["xAxis"], scatter["yAxis"]) == ("config:optimizer/lr.value", "summary:test/accuracy")
    assert "groupArea" not in config_of(found["Sweep"], BARS)
    assert "groupArea" not in found["Curves"][0]["config"]
    assert "receptive train -m optimizer.lr=0.1,0.003" in markdown(content)


def test_variants_alone(folders: RunFolders, cli: Cli) -> None:
    for variant in ("plain", "wide"):
        for seed in range(2):
            folders.add({"variant": variant}, seed=seed, config={"model.width": 32 if variant == "wide" else 16})
    folders.manifest("shapes")
    content = printed(cli)
    columns = config_of(sections(content)["Sweep"], PARALLEL)["columns"]
    assert [column["accessor"] for column in columns] == ["config:variant.value", "summary:test/accuracy"]
    assert not any("log" in column for column in columns)
    assert [key["name"] for key in runs_of(content)["grouping"]] == ["variant.value"]


def test_a_group_of_configs_is_shown_by_what_it_decides(folders: RunFolders, cli: Cli) -> None:
    """W&B is given no `data: mnist`, but the class that it stands for."""
    for name, source in (("mnist", "data.Mnist"), ("cifar10", "data.Cifar10")):
        config = {"data": {"_target_": "ImageData", "source": {"_target_": source}}}
        folders.add({}, config=config)
        list(folders.entries.values())[-1].labels["data"] = name
    folders.manifest()
    columns = config_of(sections(printed(cli))["Sweep"], PARALLEL)["columns"]
    assert columns[0]["accessor"] == "config:data/source.value"


def test_less_is_better_of_losses(folders: RunFolders, cli: Cli) -> None:
    for rate in ("0.1", "0.01"):
        folders.add({"optimizer.lr": rate}, result={"monitor": "val/loss"})
    folders.manifest()
    content = printed(cli)
    assert runs_of(content)["sort"]["keys"] == [{"key": {"section": "summary", "name": "test/loss"}, "ascending": True}]
    assert config_of(sections(content)["Sweep"], PARALLEL)["columns"][-1]["inverted"] is True


def test_nothing_but_failures(folders: RunFolders, cli: Cli) -> None:
    for rate in ("0.1", "0.01"):
        folders.add({"optimizer.lr": rate}, state="failed", error="no such file", epochs=0, score=None)
    folders.manifest()
    content = printed(cli)
    assert runs_of(content)["sort"]["keys"][0]["key"]["name"] == "val/accuracy"
    assert [panel["config"]["metrics"] for panel in sections(content)["Curves"]] == [["val/accuracy"]]
    assert "Media" not in sections(content)
    assert "- failed: no such file" in markdown(content)


def test_a_single_run(folders: RunFolders, cli: Cli) -> None:
    run = folders.add({}, pictures=["history", "confusion_matrix"])
    folder = str(run.folder)
    code, out, err = cli("wandb", "dashboard", folder, "--print")
    assert (code, out) == (1, "")
    assert "receptive wandb sync" in err
    run.write_status(replace(run.status(), wandb_id="abc-1"))
    code, out, err = cli("wandb", "dashboard", folder, "--print")
    assert (err, code) == ("", 0)
    content = json.loads(out)
    assert filters(runs_of(content)) == {"name": "abc-1"}
    assert content["workspace"]["displayName"] == run.folder.name
    found = sections(content)
    assert list(found) == ["Curves", "Media"]
    keys = [panel["config"]["mediaKeys"] for panel in found["Media"] if panel["viewType"] == MEDIA]
    assert keys == [["figures/confusion_matrix"], ["figures/history"]]
    assert "Again" not in headings(content)


def test_masks_and_the_curves_that_are_no_metrics(folders: RunFolders, cli: Cli) -> None:
    facts = {"data": {"facts": {"class_names": ["none", "lung"], "target": "mask"}}, "details": {"by_class": {}}}
    run = folders.add({"optimizer.lr": "0.1"}, metric="f1_mean", result=facts)
    folders.add({"optimizer.lr": "0.2"}, metric="f1_mean", result=facts)
    rows = run.metrics_path.read_text().splitlines()
    added = ["lr,gradient_norm", *("0.1,2.5" for _ in rows[1:])]
    run.metrics_path.write_text("\n".join(f"{row},{more}" for row, more in zip(rows, added, strict=True)) + "\n")
    folders.manifest()
    found = sections(printed(cli))
    assert [panel["config"]["metrics"] for panel in found["Curves"]][-2:] == [["lr"], ["gradient_norm"]]
    assert kinds(found["Media"]) == [TABLE, MEDIA]
    assert config_of(found["Media"], MEDIA)["mediaKeys"] == ["masks"]


@pytest.mark.parametrize("name", ['it\'s "a", b', "läufe (x) and = 3", "a\\b <= c", "x or y", "+", "n" * 120])
def test_any_name_of_a_folder(tmp_path: Path, cli: Cli, name: str) -> None:
    folders = RunFolders(tmp_path / name)
    folders.add({"optimizer.lr": "0.1"})
    folders.add({"optimizer.lr": "0.2"})
    folders.manifest()
    code, out, err = cli("wandb", "dashboard", name, "--print")
    assert (code, err) == (0, "")
    content = json.loads(out)
    assert filters(runs_of(content))["group"] == name
    assert content["report"]["displayName"] == name
    [runs] = next(block for block in blocks(content) if block["type"] == "panel-grid")["metadata"]["runSets"]
    assert filters(runs)["group"] == name


def test_a_search_has_a_command_a_run(folders: RunFolders, cli: Cli) -> None:
    for number in range(22):
        folders.add({"optimizer.lr": f"0.0{number + 1}", "data.batch_size": str(number)})
    folders.manifest()
    lines = markdown(printed(cli)).splitlines()
    assert sum(line.startswith("receptive train ") for line in lines) == 20
    assert "receptive train optimizer.lr=0.01 data.batch_size=0 seed=0" in lines
    assert "# and 2 more" in lines


def test_the_configs_say_which_project(folders: RunFolders, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    folders.add({"optimizer.lr": "0.1"}, config={"logger.wandb.project": "mine", "logger.wandb.entity": "team"})
    folders.add({"optimizer.lr": "0.2"}, config={"logger.wandb.project": "mine"})
    folders.manifest()
    monkeypatch.setenv("WANDB_PROJECT", "another")
    content = printed(cli)
    assert (content["workspace"]["entity"], content["workspace"]["project"]) == ("team", "mine")
    assert printed(cli, "--project", "given")["report"]["project"]["name"] == "given"


@pytest.fixture
def study(folders: RunFolders) -> RunFolders:
    folders.add_grid({"optimizer.lr": ["0.1", "0.01"]})
    folders.manifest("rates", [CLAIM])
    return folders


def saved(cli: Cli, *arguments: str) -> list[str]:
    code, out, err = cli("wandb", "dashboard", "sweep", *arguments)
    assert (err, code) == ("", 0)
    *lines, told = out.splitlines()
    assert re.fullmatch(
        r"(\d+) of \1 runs are not in W&B, or not all of them: receptive wandb sync sweep sends them", told
    )
    return lines


def test_saved_once_then_replaced(study: RunFolders, cli: Cli, online: Backend) -> None:
    first = saved(cli)
    assert [line.partition(": ")[0] for line in first] == ["workspace", "report"]
    assert all(f"{online.url}/tester/receptive" in line for line in first)
    assert {view["type"] for view in online.views} == {"runs", "project-view"}
    assert {view["displayName"] for view in online.views} == {"rates"}
    before = {view["id"] for view in online.views}
    study.add({"optimizer.lr": "0.5"})
    study.manifest("rates", [CLAIM])
    assert saved(cli) == first
    assert {view["id"] for view in online.views} == before
    assert all("0.5" in json.dumps(view["spec"]) for view in online.views if view["type"] == "runs")
    assert len(saved(cli, "--project", "another")) == 2
    assert len(online.views) == 4  # another project has its own
    assert saved(cli) == first
    assert len(online.views) == 4


def test_what_was_deleted_in_wandb_is_made_anew(
    study: RunFolders, cli: Cli, online: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = saved(cli)
    online.views.clear()
    monkeypatch.setitem(online._stored.known, "SpecificReport", lambda _: {"view": None})
    second = saved(cli)
    assert len(online.views) == 2
    assert first[0] != second[0]


def test_what_was_deleted_is_seen_whatever_the_title(folders: RunFolders, cli: Cli, online: Backend) -> None:
    folders.add({"optimizer.lr": "0.1"})
    folders.manifest("a/b? #1--c")
    for _ in range(2):
        saved(cli)
        assert len(online.views) == 2
    assert online.operations.count("SpecificReport") == 1


def test_single_runs_have_no_page_in_common(folders: RunFolders, cli: Cli) -> None:
    """What is printed would be filtered by a group that no run has."""
    folders.add()
    code, out, err = cli("wandb", "dashboard", "sweep", "--print")
    assert (code, out) == (1, "") and "single runs have no page in common" in err


def test_a_damaged_note_is_no_obstacle(study: RunFolders, cli: Cli, online: Backend) -> None:
    (study.root / "wandb").mkdir()
    (study.root / "wandb" / "dashboard.json").write_text("{")
    assert len(saved(cli)) == 2


def test_no_key(study: RunFolders, cli: Cli, online: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    code, out, err = cli("wandb", "dashboard", "sweep")
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert "wandb login" in err
    assert not (study.root / "wandb").exists()
    assert online.operations == []


@pytest.mark.parametrize("fault", ["500", "hang"])
def test_a_server_out_of_order(study: RunFolders, cli: Cli, online: Backend, fault: str) -> None:
    online.fault = fault
    began = time.monotonic()
    code, out, err = cli("wandb", "dashboard", "sweep")
    assert time.monotonic() - began < 20
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert online.url in err
    online.fault = None


def test_no_server(study: RunFolders, cli: Cli, online: Backend) -> None:
    online.close()
    code, out, err = cli("wandb", "dashboard", "sweep")
    assert (code, out) == (1, "")
    assert "cannot be reached" in err


def test_a_server_that_fails_at_the_last_moment(
    study: RunFolders, cli: Cli, online: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is refused after the first answer is one message, too, and what was saved is noted."""

    def refuse(variables: dict[str, Any]) -> dict[str, Any]:
        online.fault = "500"
        raise KeyError("quota")

    monkeypatch.setitem(online._stored.known, "UpsertView2", refuse)
    code, out, err = cli("wandb", "dashboard", "sweep")
    online.unknown.clear()
    online.fault = None
    assert (code, out) == (1, "")
    assert err.startswith("receptive: W&B has not taken the dashboard: ")
    assert err.count("\n") == 1
    [noted] = json.loads((study.root / "wandb" / "dashboard.json").read_text()).values()
    assert noted["report"] in {view["id"] for view in online.views}


def test_without_the_package(study: RunFolders, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for options in ([], ["--print"]):
        code, out, err = cli("wandb", "dashboard", "sweep", *options)
        assert (code, out) == (1, "")
        assert "pip install wandb-workspaces" in err


def test_no_runs(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, _, err = cli("wandb", "dashboard", "empty")
    assert code == 1
    assert "holds no run" in err
