"""The tables of a sweep's report in W&B."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conftest import Cli
from tests.report.conftest import RunFolders
from tests.tracking.backend import Backend

from receptive.errors import InputError
from receptive.tracking.companion import Companion
from receptive.tracking.mode import Mode
from receptive.tracking.record import Record, digest_of
from receptive.tracking.tables import _table, send_tables


def test_numbers_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("lr,name,score,empty\n1e-3,1,0.5,\n0.1,net a,,\n")
    table = _table(path)
    assert table.columns == ["lr", "name", "score", "empty"]
    assert table.data == [[0.001, "1", 0.5, None], [0.1, "net a", None, None]]
    path.write_text("lr,name\n")
    assert _table(path).data == []


@pytest.mark.slow
def test_sent_once_and_again_when_they_are_new(
    tmp_path: Path, cli: Cli, online: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = RunFolders(tmp_path / "sweep")
    long = {"logger.wandb": {"project": "nets", "tags": ["x" * 200, ""], "group": "own"}}
    folders.add_grid({"optimizer.lr": ["0.1", "0.01"]}, seeds=2, config=long)
    folders.manifest("rates")
    answers: list[dict[str, object]] = []
    for change in ("", "", "failed", ""):
        if change:
            folders.add({"optimizer.lr": "1.0"}, state=change, config=long)
            folders.manifest("rates")
        assert cli("report", "sweep")[0] == 0
        companion = Companion(tmp_path, lambda answer: answers.append(dict(answer)))
        companion.ask("table", folders.root)
        assert companion.dismiss(60) == []
        [page] = online.runs.values()
        if not change and len(answers) == 1:
            assert (page.project, page.name, page.group, page.job_type) == ("nets", "rates", None, "sweep")
            assert (page.exit_code, page.tags, page.summary["jobs/done"]) == (0, ["x" * 64], 4)
            assert {key for key in page.rows[0] if key.startswith("figures/")} == {
                f"figures/{path.stem}" for path in (folders.root / "figures").glob("*.png")
            }
    assert [answer["event"] for answer in answers] == ["closed"] * 4
    assert page.steps == [1, 2] and (page.exit_code, page.summary["jobs/failed"]) == (1, 1)
    record = Record.read(folders.root)
    assert (
        record.has(digest_of(folders.root / "summary.csv", folders.root / "runs.csv", "rates")) and record.id == page.id
    )

    (folders.root / "sweep.json").write_text("{")
    with pytest.raises(InputError, match=r"sweep\.json"):
        folders.root.joinpath("runs.csv").write_text("state\n")
        send_tables(folders.root, Mode("offline"))


@pytest.mark.parametrize("content", ["", "[]", "{", '{"id": 1, "odd": 2}', '{"digest": 1}'], ids=repr)
def test_a_damaged_note_is_no_obstacle(content: str, tmp_path: Path) -> None:
    (tmp_path / "wandb").mkdir()
    Record.path(tmp_path).write_text(content)
    assert not Record.read(tmp_path).has("digest")
    Record.read(tmp_path).lost("why").write(tmp_path)
    assert Record.read(tmp_path).why == "why"
