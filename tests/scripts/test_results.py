"""results/ and what is made from it: pages say what the files say, runs are whole, no image of a data set."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import Cli
from tests.test_studies import composed

from receptive.console import new_console

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from scripts.edition import checks, figures, pages, store  # noqa: E402

from receptive.config import fingerprint  # noqa: E402
from receptive.errors import InputError  # noqa: E402
from receptive.files import read_csv, read_json  # noqa: E402
from receptive.manifest import Manifest  # noqa: E402
from receptive.report.figures import FIGURES, OVER  # noqa: E402
from receptive.runs import Run  # noqa: E402
from receptive.sweeps.jobs import JobComposer  # noqa: E402

RESULTS = ROOT / "results"
STUDIES = sorted(path.parent.name for path in RESULTS.glob("*/provenance.json") if path.parent.name != "checks")
QUIET = new_console(quiet=True)


@pytest.mark.parametrize("path", list(pages.Pages(ROOT).paths()), ids=lambda path: path.name)
def test_a_page_says_what_the_results_say(path: Path) -> None:
    """`python scripts/results.py write` mends it."""
    assert pages.Pages(ROOT).filled(path) == path.read_text(encoding="utf-8")


def test_every_claim_of_the_reports_has_a_verdict_or_a_reason() -> None:
    known = pages.Pages(ROOT)
    assert len(known.reported) == 6 + 14 + 18 + 11 + 11
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
    """No checkpoint, no picture of a data set, no mask: a figure is one of those that are drawn of tables."""
    texts = {".json", ".yaml", ".csv"}
    paths = [path for path in RESULTS.rglob("*") if path.is_file()]
    odd = [path for path in paths if path.suffix not in texts and path.parent.name != "figures"]
    assert odd == []
    drawn = {path for path in paths if path.suffix == ".png"}
    of_checks = {path for path in drawn if path.parent == RESULTS / figures.FOLDER}
    assert {path.stem for path in of_checks} <= set(figures.panels(RESULTS))
    names = {path.stem for path in drawn - of_checks}
    assert {name for name in names if not name.startswith(OVER)} <= set(FIGURES)
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
    (kept / "claims.csv").write_text("claim\nof an earlier report\n")
    assert store.collect("tiny", QUIET) == 2
    assert not (kept / "claims.csv").exists()  # there are none any more
    assert read_json(kept / "provenance.json")["jobs"] == {"done": 2, "of": 2}
    assert store.restore("other") == 0


def test_nothing_that_is_committed_is_dropped(cli: Cli, tmp_path: Path) -> None:
    """Also where outputs/ holds a part of the runs alone, or others."""
    command = ("train", "-m", "trainer=debug", "hydra.sweep.dir=outputs/studies/tiny")
    assert cli(*command, "seed=0,1")[0] == 0
    assert store.collect("tiny", QUIET) == 2
    order = list(Manifest.read(tmp_path / "results" / "tiny" / "jobs").entries)
    (tmp_path / "outputs").rename(tmp_path / "gone")
    assert cli(*command, "seed=2")[0] == 0
    with pytest.raises(
        InputError, match=r"lacks 2 runs of results/tiny, such as .*: python scripts/results.py restore"
    ):
        store.collect("tiny", QUIET)
    assert len(list((tmp_path / "results" / "tiny" / "jobs").glob("*/config.yaml"))) == 2
    assert store.restore("tiny") == 2
    assert store.collect("tiny", QUIET) == 3
    entries = Manifest.read(tmp_path / "results" / "tiny" / "jobs").entries
    assert list(entries)[:2] == order
    assert read_json(tmp_path / "results" / "tiny" / "provenance.json")["seeds"] == [0, 1, 2]


def test_nothing_is_collected_where_nothing_is_done(cli: Cli, tmp_path: Path) -> None:
    command = ("train", "-m", "trainer=debug", "seed=0,1", "optimizer.lr=1e30", "hydra.sweep.dir=outputs/studies/tiny")
    assert cli(*command)[0] == 1
    for study in ("tiny", "absent"):
        with pytest.raises(InputError, match=f"outputs/studies/{study}: no run of it is done"):
            store.collect(study, QUIET)
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("study", [study for study in STUDIES if not study.endswith("_full")])
def test_committed_runs_are_those_that_the_study_would_run(study: str) -> None:
    """After a change of what it computes: delete results/STUDY, and run it again."""
    points, config, loader = composed(study)
    composer = JobComposer(loader, config, Path("outputs"), download=False)
    wanted = {job.fingerprint for point in points if (job := composer.job(point)[0]) is not None}
    seeds = {point.labels["seed"] for point in points}
    entries = Manifest.read(RESULTS / study / "jobs").entries
    assert {key for key, entry in entries.items() if entry.labels["seed"] in seeds} == wanted


@pytest.mark.parametrize("seeds", [3, 10])
def test_the_command_that_is_told_runs_these_seeds(monkeypatch: pytest.MonkeyPatch, seeds: int) -> None:
    monkeypatch.chdir(ROOT)
    command = store.command_of("jsrt_unet", list(range(seeds)))
    plain = "receptive train study=jsrt_unet hydra/launcher=packed"
    assert command == (plain if seeds == 3 else "SEEDS=10 scripts/reproduce.sh jsrt_unet")
    full = store.command_of("jsrt_unet_full", list(range(seeds)))
    assert full == ("" if seeds == 3 else "SEEDS=10 ") + "FULL=1 scripts/reproduce.sh jsrt_unet"


def test_what_is_computed_on_the_spot_gives_the_verdicts_that_are_committed() -> None:
    rows = read_csv(RESULTS / "checks" / "claims.csv")
    judged = [(row["claim"], row["what it says"], row["verdict"]) for row in rows]
    assert {(row[0], row[1], row[4]) for row in checks.on_the_spot()} <= set(judged)
