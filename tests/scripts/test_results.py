"""results/ and what is made from it: pages say what the files say, runs are whole, no image of a data set."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from tests.conftest import Cli

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from scripts.edition import pages, store  # noqa: E402

from receptive.config import fingerprint  # noqa: E402
from receptive.files import read_csv, read_json  # noqa: E402
from receptive.manifest import Manifest  # noqa: E402
from receptive.runs import Run  # noqa: E402

RESULTS = ROOT / "results"
STUDIES = sorted(path.parent.name for path in RESULTS.glob("*/provenance.json"))
QUIET = Console(quiet=True)


@pytest.mark.parametrize("path", list(pages.Pages(ROOT).paths()), ids=lambda path: path.name)
def test_a_page_says_what_the_results_say(path: Path) -> None:
    """`python scripts/results.py write` mends it."""
    assert pages.Pages(ROOT).filled(path) == path.read_text(encoding="utf-8")


def test_every_claim_of_the_reports_has_a_verdict_or_a_reason() -> None:
    known = pages.Pages(ROOT)
    assert len(known.claims) == 6 + 14 + 18 + 11 + 11
    assert [name for name, claim in known.claims.items() if not known.verdicts(name) and "reason" not in claim] == []
    shown = "".join(path.read_text(encoding="utf-8") for path in known.paths())
    assert [name for name in known.claims if not re.search(rf"^\| {re.escape(name)} \|", shown, re.MULTILINE)] == []


@pytest.mark.parametrize("study", STUDIES)
def test_committed_runs_are_whole_and_those_of_the_tables(study: str) -> None:
    folder = RESULTS / study / "jobs"
    entries = Manifest.read(folder).entries
    runs = [Run(path.parent) for path in folder.glob("*/config.yaml")]
    assert {run.folder.name for run in runs} <= {entry.folder for entry in entries.values()}
    assert all(run.state() == "done" for run in runs)
    provenance = read_json(RESULTS / study / "provenance.json")
    assert provenance["jobs"] == {"done": len(runs), "of": len(entries)}
    counts = [int(value) for row in read_csv(RESULTS / study / "summary.csv") for value in [next(_counts(row))]]
    assert sum(counts) == len(runs)
    assert not any(re.search(r'"/|: /', (run.folder / "config.yaml").read_text()) for run in runs)


def _counts(row: dict[str, str]) -> Iterator[str]:
    return (value or "0" for key, value in row.items() if key.endswith(" n"))


def test_nothing_but_tables_and_their_figures() -> None:
    """No checkpoint, no picture of a data set, no mask: a figure is one of those that a report draws of tables."""
    drawn = {"curves", "points", "heatmap", "parallel", "importance"}
    texts = {".json", ".yaml", ".csv"}
    paths = [path for path in RESULTS.rglob("*") if path.is_file()]
    odd = [path for path in paths if path.suffix not in texts and path.parent.name != "figures"]
    assert odd == []
    assert {path.stem for path in paths if path.suffix == ".png"} <= drawn
    assert sum(path.stat().st_size for path in paths) < 30 * 2**20


def test_restored_runs_count_as_done(cli: Cli, tmp_path: Path) -> None:
    command = ("train", "-m", "trainer=debug", "seed=0,1", "hydra.sweep.dir=outputs/studies/tiny")
    assert cli(*command)[0] == 0
    sweep = tmp_path / "outputs" / "studies" / "tiny"
    assert store.collect("tiny", QUIET) == 2
    kept = tmp_path / "results" / "tiny"
    [job, other] = [entry.folder for entry in Manifest.read(sweep).entries.values()]
    assert {path.name for path in (kept / "jobs" / job).iterdir()} == {
        *("config.yaml", "status.json", "result.json", "metrics.csv")
    }
    status = json.loads((kept / "jobs" / job / "status.json").read_text())
    assert (status["state"], status["pid"], status["host"]) == ("done", None, None)
    assert fingerprint(Run(kept / "jobs" / job).config()) == status["fingerprint"]

    (sweep / job / "result.json").unlink()  # interrupted: what was committed stands for it
    (sweep / other / "checkpoints" / "mine").write_text("stays")
    assert store.restore("tiny") == 1
    assert (sweep / other / "checkpoints" / "mine").exists()
    assert not (sweep / job / "checkpoints").exists()
    code, out, _ = cli(*command, "dry_run=true")
    assert (code, "2 done" in out) == (0, True)

    (tmp_path / "outputs").rename(tmp_path / "gone")
    assert store.restore("tiny") == 2
    assert cli(*command)[0] == 0
    assert [run.status().attempts for run in (Run(sweep / job), Run(sweep / other))] == [1, 1]
    assert store.collect("tiny", QUIET) == 2
    assert read_json(kept / "provenance.json")["jobs"] == {"done": 2, "of": 2}
    assert store.restore("other") == 0
