"""What W&B has of a run: offline in the folder, online on its server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import precision_recall_fscore_support
from tests.conftest import Cli
from tests.report.conftest import CLASSES, RunFolders
from tests.resume.conftest import MASKS
from tests.tracking.backend import Backend
from tests.tracking.following import assert_complete, assert_rows, follow, named, send
from tests.tracking.recordings import Recording

from receptive.runs import Run

SHORT = ("logger=wandb", "hydra.run.dir=run", "trainer.limit_train_batches=2", "trainer.progress=none")
COUNTS = [[8, 1, 1], [0, 6, 1], [5, 0, 8]]  # recall and precision differ


def test_without_a_key_a_training_is_recorded(
    cli: Cli, offline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("CONFIG", "CACHE", "DATA"):  # not even where W&B's own default is the home folder
        monkeypatch.delenv(f"WANDB_{kind}_DIR")
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "matplotlib"))
    code, out, err = cli("train", *SHORT, "trainer.max_epochs=2", "tags=[ours]", "logger.wandb.notes=a note")
    assert code == 0 and "rror" not in err
    assert [line for line in out.splitlines() if "W&B" in line] == [
        "W&B      recorded offline: no API key (WANDB_API_KEY, or `wandb login`)",
        "W&B      receptive wandb sync run sends it",
    ]
    run = Run(tmp_path / "run")
    [folder] = (run.folder / "wandb").glob("offline-run-*")
    recording = Recording(folder)
    assert_rows([{"_step": step} | row for step, row in zip(recording.steps, recording.rows, strict=True)], run)
    assert recording.steps == [1, 2, 3] and recording.exit_code == 0
    told = recording.run
    assert (told["run_id"], told["project"], told["display_name"]) == (
        run.status().wandb_id, "receptive", "MnistNet Digits seed=0",
    )  # fmt: skip
    assert (told["job_type"], told["tags"], told["notes"]) == ("train", ["ours", "Digits", "MnistNet"], "a note")
    assert not told.get("run_group")
    config = recording.config
    assert (config["model"], config["optimizer/lr"], config["data/source"]) == ("MnistNet", 0.001, "Digits")
    assert config["fingerprint"] == run.status().fingerprint
    assert not [key for key in config if "." in key or key.startswith(("paths", "logger", "tags"))]
    result = run.result()
    assert recording.summary.items() >= result["metrics"].items()
    assert (recording.summary["best_epoch"], recording.summary["state"]) == (result["best_epoch"], "done")

    assert list(offline.rglob("*")) == []
    beside = {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*") if path.is_file()}
    assert beside <= {"run", "outputs", "matplotlib"}
    assert {path.name for path in (tmp_path / "outputs").iterdir()} <= {"wandb"}


def test_a_training_with_masks_arrives(cli: Cli, online: Backend, tmp_path: Path) -> None:
    asked = ("logger.wandb.checkpoint=true", "logger.wandb.project=lungs", "logger.wandb.group=g")
    code, out, _ = cli("train", *SHORT, *MASKS, *asked, "trainer.max_epochs=1")
    run = Run(tmp_path / "run")
    [page] = online.runs.values()
    assert code == 0 and f"{online.url}/tester/lungs/runs/{page.id}" in out
    assert (page.id, page.project, page.group) == (run.status().wandb_id, "lungs", "g")
    assert_complete(page, run)
    assert page.config["model"] == "UNet" and page.config["optimizer/lr"] == run.config().optimizer.lr

    [end] = [row for row in page.rows if "masks" in row]
    assert {f"figures/{path.stem}" for path in run.figures.glob("*.png")} == {key for key in end if "figures" in key}
    with np.load(run.examples_path) as examples:
        predicted, targets = examples["predicted"], examples["targets"]
    for kind, masks in (("prediction", predicted), ("truth", targets)):
        for told, mask in zip(end["masks"]["all_masks"], masks, strict=True):
            (tmp_path / "mask.png").write_bytes(page.files[told[kind]["path"]])
            assert np.array_equal(np.asarray(Image.open(tmp_path / "mask.png")), mask)
    table = json.loads(page.files[end["classes"]["path"]])
    by_class = run.result()["details"]["by_class"]
    assert [row[0] for row in table["data"]] == list(by_class)
    assert [row[1:] for row in table["data"]] == [
        [scores[key] for key in table["columns"][1:]] for scores in by_class.values()
    ]
    [best] = [artifact for artifact in page.artifacts if artifact.type == "model"]
    assert best.files["best.ckpt"] == (run.checkpoints / "best.ckpt").read_bytes()
    assert best.committed and "best" in best.aliases and best.metadata == run.result()["metrics"]


@pytest.mark.slow
def test_every_ending(folders: RunFolders, online: Backend, tmp_path: Path) -> None:
    """Of runs that nobody trains: all in one process, and one of them once more when it has gone on."""
    states: dict[str, dict[str, Any]] = {
        "done": {"pictures": ["history"], "result": {"details": {"confusion_matrix": COUNTS}}},
        "pruned": {},
        "failed": {"error": "NonFiniteLoss: in epoch 2"},
        "interrupted": {"error": "SIGTERM"},
    }
    runs = {state: named(folders.add(state=state, **more), f"id-{state}") for state, more in states.items()}
    runs["pruned"].write_result({"metrics": {"val/accuracy": 0.5}, "best_epoch": 2, "pruned": True})
    later = folders.add(epochs=5, pictures=["history"])
    runs["failed"].metrics_path.write_text("".join(later.metrics_path.read_text().splitlines(True)[:4]))
    assert [answer["event"] for answer in send(tmp_path, *runs.values())] == ["closed"] * 4
    pages = {page.id.removeprefix("id-"): page for page in online.runs.values()}
    ends = {state: (page.exit_code, page.state, page.summary.get("error")) for state, page in pages.items()}
    assert ends == {
        "done": (0, "finished", None),
        "pruned": (0, "finished", None),
        "failed": (1, "failed", "NonFiniteLoss: in epoch 2"),
        "interrupted": (255, "killed", "SIGTERM"),
    }
    for state, page in pages.items():
        assert page.summary["state"] == state
        assert page.steps == ([1, 2, 3, 4] if state == "done" else [1, 2, 3])
    assert_complete(pages["done"], runs["done"])
    assert_classes(pages["done"].rows[-1], pages["done"].files, COUNTS)

    for name in ("metrics.csv", "result.json", "status.json"):
        later.folder.joinpath(name).rename(runs["failed"].folder / name)
    named(runs["failed"], "id-failed")
    [answer] = send(tmp_path, runs["failed"])
    assert (answer["event"], answer["sent"]) == ("closed", 2)
    assert_complete(pages["failed"], runs["failed"])
    assert pages["failed"].steps == [1, 2, 3, 4, 5, 6] and not pages["failed"].summary.get("error")


def assert_classes(end: dict[str, Any], files: dict[str, bytes], counts: list[list[int]]) -> None:
    """The chart of the confusion matrix and the table of the classes, by another package."""
    cells = json.loads(files[end["confusion_matrix_table"]["path"]])
    assert cells["columns"] == ["Actual", "Predicted", "nPredictions"]
    assert {(true, guess): count for true, guess, count in cells["data"]} == {
        (CLASSES[true], CLASSES[guess]): counts[true][guess] for true in range(3) for guess in range(3)
    }
    true = [true for true in range(3) for guess in range(3) for _ in range(counts[true][guess])]
    guess = [guess for true in range(3) for guess in range(3) for _ in range(counts[true][guess])]
    precision, recall, f1, images = precision_recall_fscore_support(true, guess)
    table = json.loads(files[end["classes"]["path"]])
    assert table["columns"] == ["class", "images", "recall", "precision", "f1"]
    wanted = zip(CLASSES, images, recall, precision, f1, strict=True)
    for row, (name, *numbers) in zip(table["data"], wanted, strict=True):
        assert row[0] == name and row[1:] == pytest.approx(numbers, abs=1e-6)


def test_a_run_that_cannot_be_begun_has_an_end_too(folders: RunFolders, offline: Path, tmp_path: Path) -> None:
    """Whoever asks for an end gets an answer, also where nothing was begun; the next run is none the worse."""
    run, other = named(folders.add(), "one"), named(folders.add(), "two")
    (other.folder / "wandb").write_text("a file where the folder should be")
    answers = follow(
        tmp_path,
        ("open", other, {"pid": 1}),
        ("close", other, {"state": "done"}),
        ("open", run, {"pid": 1}),
        ("close", run, {"state": "failed"}),
    )
    assert [answer["event"] for answer in answers] == ["lost", "lost", "open", "closed"]
    assert all("File exists" in answer["why"] for answer in answers[:2])
    [folder] = (run.folder / "wandb").glob("offline-run-*")
    assert Recording(folder).exit_code == 1


@pytest.fixture
def folders(tmp_path: Path) -> RunFolders:
    return RunFolders(tmp_path / "sweep")
