"""The page as text: what it tells, of good folders and of damaged ones; the browser's view is in test_browser.py."""

import html
import io
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.conftest import Cli
from tests.report.conftest import RunFolders

from receptive.console import new_console
from receptive.errors import InputError
from receptive.report import contents, gallery, page
from receptive.report.claims import Claim
from receptive.report.places import find_folder
from receptive.report.report import write_report
from receptive.report.verdicts import Judged

LR = "optimizer.lr"


class Text(HTMLParser):
    """What stands on a page outside of scripts and styles, and its embedded data."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.data = ""
        self.inside = ""
        self.tags: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag in ("script", "style"):
            self.inside = "data" if ("id", "data") in attrs else tag

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "data":
            self.data += data
        elif not self.inside:
            self.parts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.parts).split())


@pytest.fixture(autouse=True)
def small_plotly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plotly's 5 MB are the same in all pages."""
    monkeypatch.setattr(page, "_plotly", lambda: "/* plotly */")


def report(root: Path) -> tuple[Text, str]:
    """The page of a folder, and what the console says."""
    stream = io.StringIO()
    write_report(root, new_console(file=stream, width=200))
    source = (root / "report.html").read_text(encoding="utf-8")
    assert "left out, " not in stream.getvalue(), stream.getvalue()  # no figure failed
    return Text(source), stream.getvalue()


def test_a_sweep(folders: RunFolders) -> None:
    folders.add_grid({LR: ["0.1", "0.01"], "act": ["relu", "elu"]}, seeds=3)
    shown, said = report(folders.manifest())
    assert said.rstrip().endswith("report.html")
    assert {path.name for path in folders.root.glob("*.*")} >= {"runs.csv", "summary.csv", "summary.md", "report.html"}
    assert (folders.root / "figures" / "curves.png").is_file()
    for words in ("12 runs in 4 groups", "12 done", "0123456789ab", "Learning curves", "12 of 12 runs", "relu", "13 %"):
        assert words in shown.text, words
    assert "Notes" not in shown.text and "Claims" not in shown.text
    data = json.loads(shown.data)
    assert set(data["plots"]) >= {"curves", "heat_map", "confusion"}
    fields = {field["key"]: field for field in data["comparison"]["fields"]}
    assert fields["seed"]["values"] == ["0", "1", "2"] and fields[LR]["kind"] == "config"
    assert "versions.torch" not in fields  # the same everywhere


def test_the_numbers_of_the_summary_stand_right(folders: RunFolders) -> None:
    folders.add_grid({"data/source": ["x", "y"]}, seeds=2)
    text = page.render(folders.collection(), (), (), ())
    [summary] = re.findall(r'<section id="summary".*?</section>', text, re.DOTALL)
    assert re.findall(r'<th scope="col"( class="number")?>([^<]*)</th>', summary) == [
        ("", "data/source"),
        *((' class="number"', title) for title in ("n", "val/accuracy", "95 % interval", "best")),
        *((' class="number"', title) for title in ("test/accuracy", "95 % interval", "best", "p against best")),
    ]
    assert summary.count("<td>") == 2 and summary.count('<td class="number">') == 16


def test_claims_stand_with_their_verdict(folders: RunFolders) -> None:
    folders.add_grid({"variant": ["a", "b"]}, seeds=3)
    claim = Claim.model_construct(id="R9.9", text="a is better than b", metric="test/accuracy", reported="90 %, 80 %")
    collection = folders.collection("table_9")
    shown = Text(page.render(collection, [Judged(claim, "a: 95 %; b: 80 %", "does not hold", "p=0.9")], (), ()))
    assert "table_9" in shown.text and "receptive train study=table_9" in shown.text
    told = "R9.9 does not hold a is better than b reported 90 %, 80 % ours a: 95 %; b: 80 % why p=0.9"
    assert told in shown.text


def test_a_claim_that_says_nothing_is_told(folders: RunFolders, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(collection: Any) -> None:
        raise InputError("hydra.sweeper.claims[R9.9]: nothing says no claim")

    monkeypatch.setattr("receptive.report.report.judge", refuse)
    folders.add()
    shown, said = report(folders.manifest())
    for text in (said, shown.text):
        assert "the claims cannot be judged: hydra.sweeper.claims[R9.9]" in text


def test_labels_cannot_break_out(folders: RunFolders) -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&"
    for seed in range(2):
        folders.add({"variant": evil}, seed=seed, config={"note": evil}, error=evil, state="failed")
        score = 0.9 - 0.01 * seed
        folders.add({"variant": "b"}, seed=seed, score=score, config={"note": evil}, pictures=("worst",))
    folders.manifest(evil)
    shown, _ = report(folders.root)
    assert shown.tags.count("script") == 3 and shown.tags.count("img") == 1
    assert evil in shown.text
    json.loads(shown.data)


def test_the_policy_has_the_hashes_of_what_is_inside(folders: RunFolders) -> None:
    folders.add()
    report(folders.manifest())
    source = (folders.root / "report.html").read_text(encoding="utf-8")
    policy = html.unescape(re.findall(r'Policy" content="([^"]*)"', source)[0])
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-inline" not in policy and "unsafe-eval" not in policy
    for tag in re.findall(r"<(?:script|style)>(.*?)</(?:script|style)>", source, re.DOTALL):
        assert page._hash(tag) in policy
    assert not re.search(r'\sstyle="|\son\w+="|https?://', source)


def test_damaged_files_are_told(folders: RunFolders) -> None:
    runs = [folders.add({LR: "0.1"}, seed=seed, score=0.5 + seed / 100, pictures=("worst",)) for seed in range(7)]
    runs[0].status_path.write_text("{")
    runs[1].result_path.write_text("[]")
    runs[2].metrics_path.write_text("epoch,val/loss\n1,abc\n")
    runs[3].config_path.write_text("a: [")
    for run in runs[4:]:
        (run.figures / "worst.png").write_bytes(b"no picture")
    shown, said = report(folders.manifest())
    assert "3 done" in shown.text and "4 failed" in shown.text
    for text in ("status.json is damaged", "result.json is damaged", "could not convert", "config.yaml cannot be read"):
        assert text in shown.text, text
    assert "figures/worst.png cannot be shown" in shown.text
    assert "status.json is damaged" in said


def test_a_damaged_sweep_json_is_told_and_the_runs_are_found(folders: RunFolders) -> None:
    folders.add({LR: "0.1"})
    folders.add({LR: "0.2"})
    folders.manifest()
    (folders.root / "sweep.json").write_text("{")
    shown, _ = report(folders.root)
    assert "sweep.json is damaged" in shown.text and "2 runs in 2 groups" in shown.text


def test_classification_beside_segmentation(folders: RunFolders) -> None:
    folders.add({"model": "net"}, seed=0)
    folders.add({"model": "net"}, seed=1, score=0.8)
    folders.add({"model": "unet"}, metric="f1_mean", result={"details": {"worst": []}, "data": {"facts": {}}})
    shown, _ = report(folders.manifest())
    assert "val/accuracy" in shown.text and "test/f1_mean" in shown.text and "0.8800" in shown.text


@pytest.mark.parametrize("state", ["waiting", "running", "failed", "interrupted"])
def test_no_run_is_done(folders: RunFolders, state: str) -> None:
    folders.add({LR: "0.1"}, state=state, epochs=0, error="the loss is NaN" if state == "failed" else None)
    shown, _ = report(folders.manifest())
    assert "there is nothing to draw yet" in shown.text
    assert "No run is finished" in shown.text
    assert "the loss is NaN" in shown.text or state != "failed"


def test_values_that_are_no_numbers(folders: RunFolders) -> None:
    for seed, score in enumerate((math.nan, math.inf, 0.5)):
        folders.add({LR: "0.1"}, seed=seed, score=score)
    shown, _ = report(folders.manifest())
    assert "3 runs in 1 group" in shown.text


def test_odd_results(folders: RunFolders) -> None:
    """As a person or another version may have written them."""
    folders.add({"variant": "a"}, seed=None, result={"details": {}, "data": None, "code": None, "hardware": None})
    folders.add({"variant": "b"}, seed=None, result={"details": None, "versions": {}, "seconds": None})
    folders.add({"variant": "c"}, seed=None, result={"details": {"confusion_matrix": [[1]]}, "best_epoch": None})
    shown, _ = report(folders.manifest())
    assert "3 runs in 3 groups" in shown.text


def test_a_single_run(folders: RunFolders) -> None:
    run = folders.add(pictures=("confusion_matrix", "history"))
    for _ in range(2):  # the second time the report's own figures lie beside those of the run
        shown, _ = report(run.folder)
        assert shown.text.count("loss and score, epoch by epoch") == 1 and "curves" not in shown.tags
        assert shown.tags.count("img") == 1
    assert "There is only one run." in shown.text


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no run"):
        write_report(tmp_path, new_console(file=io.StringIO()))


def test_of_many_runs_the_best_have_a_row(folders: RunFolders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "MOST_RUNS", 5)
    for number in range(12):
        folders.add({"model.width": str(number)}, score=number / 20, state="failed" if number == 11 else "done")
    shown, _ = report(folders.manifest())
    assert "The best 5 runs; 7 others stand in runs.csv." in shown.text
    names = json.loads(shown.data)["comparison"]["runs"]
    assert names == [f"{width}, 0" for width in (6, 7, 8, 9, 10)]


def test_rows_are_left_out_until_the_page_is_small_enough(folders: RunFolders, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(16):
        folders.add({"model.width": str(number)}, config={"note": f"{number} " + "x" * 290})
    collection = folders.collection()
    whole = len(page.render(collection, (), (), ()).encode())
    monkeypatch.setattr(page, "MOST_BYTES", page._RESERVE + whole - 2000)
    monkeypatch.setattr(page, "MOST_RUNS", 16)
    text = page.render(collection, (), (), ())
    assert len(text.encode()) < whole - 2000 and "The best 8 runs" in Text(text).text


def test_pictures_keep_to_their_budget(folders: RunFolders) -> None:
    for name in ("a", "b"):
        folders.add({"variant": name}, pictures=("history", "worst", "mine"))
    collection = folders.collection()
    found, notes = gallery.albums(collection, 10**6, interactive=True)
    assert [album.name for album in found] == ["a, seed 0", "b, seed 0"]
    titles = [picture.title for picture in found[0].pictures]
    assert titles == ["test images with the smallest F1", "loss and score, epoch by epoch", "mine"]
    assert notes == []
    size = sum(len(picture.uri) for picture in found[0].pictures)
    found, notes = gallery.albums(collection, size, interactive=True)
    assert len(found) == 1 and notes == [
        "3 more pictures would make the page too large: they lie in the runs' figures/"
    ]


def test_pictures_of_runs_beyond_the_best_are_no_matter_of_size(
    folders: RunFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gallery, "MOST_ALBUMS", 1)
    for name in ("a", "b"):
        folders.add({"variant": name}, pictures=("history", "worst"))
    found, notes = gallery.albums(folders.collection(), 10**6, interactive=True)
    assert len(found) == 1 and notes == ["2 pictures of runs beyond the best 1 lie in the runs' figures/"]


def test_the_commands_are_those_that_made_the_page(tmp_path: Path) -> None:
    """With the folder as a shell takes it, and of a study in small not that of the whole."""
    folders = RunFolders(tmp_path / "my sweep")
    for seed in range(2):
        folders.add(seed=seed)
    options = ("study=table_9", "scale=smoke", "tags=[a b]")
    folders.entries = {
        key: replace(entry, overrides=(*entry.overrides, *options)) for key, entry in folders.entries.items()
    }
    shown = Text(page.render(folders.collection("table_9"), (), (), ()))
    assert f"receptive report '{folders.root}'" in shown.text
    assert "receptive train study=table_9 scale=smoke 'tags=[a b]'" in shown.text


def test_pictures_are_made_small(folders: RunFolders) -> None:
    run = folders.add(pictures=("worst",))
    Image.fromarray(np.zeros((2000, 1000, 4), dtype=np.uint8)).save(run.figures / "worst.png")
    [album], _ = gallery.albums(folders.collection(), 10**6, interactive=True)
    [picture] = album.pictures
    assert (picture.width, picture.height) == (450, 900) and picture.uri.startswith("data:image/webp;base64,")


def test_a_figure_that_cannot_be_drawn_is_a_note(folders: RunFolders, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(collection: Any) -> None:
        raise ValueError("too small\na world")

    monkeypatch.setitem(page.PLOTS, "learning curves", fail)
    monkeypatch.setitem(gallery.FIGURES, "curves", fail)
    folders.add()
    stream = io.StringIO()
    write_report(folders.manifest(), new_console(file=stream, width=200))
    shown = Text((folders.root / "report.html").read_text(encoding="utf-8"))
    for what in ("figures/curves.png", "learning curves"):
        note = f"{what}: left out, ValueError: too small a world"
        assert note in stream.getvalue() and note in shown.text


def test_where_runs_differ_the_environment_says_so(folders: RunFolders) -> None:
    folders.add({LR: "1"}, result={"versions": {"torch": "2.14"}})
    folders.add({LR: "2"}, result={"versions": {"torch": "2.15"}})
    collection = folders.collection()
    found = {one.key: one for one in contents.environment(collection)}
    assert found["versions.torch"].differs and found["versions.torch"].values == (("2.14", 1), ("2.15", 1))
    assert not found["code.commit"].differs
    shown, _ = report(folders.root)
    assert "The runs differ in versions.torch." in shown.text


def test_the_verb(cli: Cli, tmp_path: Path) -> None:
    place = RunFolders(tmp_path / "outputs" / "studies" / "upsampling")
    place.add()
    place.manifest("upsampling")
    code, out, err = cli("report", "upsampling")
    assert (code, err) == (0, "") and out.rstrip().endswith("outputs/studies/upsampling/report.html")
    assert cli("report", "outputs/studies/upsampling")[0] == 0
    code, _, err = cli("report", "upsamplin")
    assert code == 1 and "upsamplin is no folder and no study, did you mean 'upsampling'?" in err
    code, _, err = cli("report", ".")
    assert code == 1 and "holds no run" in err
    assert cli("report")[0] == 2


def test_a_study_that_was_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf" / "study").mkdir(parents=True)
    (tmp_path / "conf" / "study" / "depth.yaml").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("receptive.report.places.conf_dir", lambda: tmp_path / "conf")
    with pytest.raises(InputError, match=r"depth has not been run here .*: receptive train study=depth; if it lies"):
        find_folder("depth")
    with pytest.raises(InputError, match="did you mean 'depth'"):
        find_folder("dept")
