"""What runs a folder holds, whatever state its sweep.json is in."""

from pathlib import Path

import pytest

from receptive.manifest import Entry, Manifest, commands_of, runs_in
from receptive.runs import Run


def test_the_runs_of_a_folder(tmp_path: Path) -> None:
    listed, begun, other = (tmp_path / name for name in ("listed", "begun", "other"))
    for folder in (listed, begun, other):
        folder.mkdir()
    (listed / "config.yaml").touch()
    (begun / "status.json").touch()
    by_folder = (Run(begun), Run(listed))
    found = runs_in(tmp_path)
    assert (found.runs, found.labels, found.note) == (by_folder, ({}, {}), "")

    Manifest({"0": Entry((), {"lr": "1"}, "0", "listed")}, "study").write(tmp_path)
    found = runs_in(tmp_path)
    assert (found.runs, found.labels, found.manifest.name) == ((Run(listed),), ({"lr": "1"},), "study")

    (tmp_path / "sweep.json").write_text("{")
    found = runs_in(tmp_path)
    assert (found.runs, found.manifest) == (by_folder, Manifest())
    assert found.note.startswith(f"{tmp_path / 'sweep.json'} is damaged")
    assert runs_in(listed).runs == (Run(listed),)


def test_a_list_of_jobs_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    def refuse(root: Path) -> Manifest:
        raise PermissionError(13, "Permission denied")

    found = runs_in(tmp_path, refuse)
    assert found.runs == () and "sweep.json cannot be read (Permission denied)" in found.note


@pytest.mark.parametrize(
    ("name", "own", "command"),
    [
        ("study", [("data.batch_size=4",)] * 2, "receptive train study=study logger=wandb data.batch_size=4"),
        ("", [("lr=1",), ("lr=2",)], "receptive train -m logger=wandb lr=1,2"),
    ],
)
def test_a_command_says_nothing_of_what_one_call_was_to_do(name: str, own: list[tuple[str, ...]], command: str) -> None:
    asked = ("study=study", "rerun=all", "logger=wandb", "submit=detach") if name else ("rerun=all", "logger=wandb")
    entries = {str(n): Entry((*asked, *lines), {}, str(n), f"job{n}") for n, lines in enumerate(own)}
    assert commands_of(Manifest(entries, name)) == (command,)
