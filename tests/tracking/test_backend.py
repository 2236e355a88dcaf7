"""The server that stands in for Weights & Biases, against real clients: that it records, and that it can fail.

Each client takes seconds to start: but for the first, which logs all kinds of things, they are for `make slow`.
"""

from __future__ import annotations

import functools
import gzip
import http.client
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.processes import wait_for
from tests.tracking.backend import Backend
from tests.tracking.recordings import Recording, inspect

Run = Callable[..., "subprocess.CompletedProcess[str]"]
QUICK = "settings=wandb.Settings(init_timeout=5, finish_timeout=2, x_disable_stats=True)"


@pytest.fixture
def client(tmp_path: Path) -> Run:
    """Run lines of Python in a process of its own, as a client of a server; its folder is `tmp_path`."""

    def run(server: Backend, *lines: str, code: int = 0, **more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "\n".join(["import wandb", *lines])]
        environment = server.environment(tmp_path) | more
        kind = functools.partial(subprocess.run, capture_output=True, text=True, timeout=60)
        done: subprocess.CompletedProcess[str] = kind(command, env=environment, cwd=tmp_path)
        assert done.returncode == code, done.stderr
        return done

    return run


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a client that waits for a line at every `input()`."""
    started = []

    def start(server: Backend, *lines: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", "\n".join(["import wandb", *lines])]
        environment, pipe = server.environment(tmp_path), subprocess.PIPE
        started.append(
            subprocess.Popen(command, env=environment, cwd=tmp_path, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def offline_folder(home: Path, run: str) -> Path:
    """The one folder that a client recorded a run to."""
    (folder,) = home.glob(f"wandb/*run-*-{run}")
    return folder


LOGS = """
import numpy as np
from pathlib import Path
about = dict(group="g", job_type="train", name="a name", notes="a note", tags=["a", "b"])
with wandb.init(project="p", id="r", config={"lr": 0.1, "net": {"width": 8}}, **about) as run:
    for step in range(3):
        run.log({"val/f1": step / 10, "epoch": step}, step=10 * step)
    mask = {"mask_data": np.ones((8, 8), np.uint8), "class_labels": {0: "other", 1: "lung"}}
    table = wandb.Table(columns=["x", "y"], data=[[1, 2.0], [3, 4.0]])
    image = wandb.Image(np.zeros((8, 8, 3), np.uint8), masks={"prediction": mask})
    run.log({"image": image, "table": table}, step=30)
    points = wandb.Table(columns=["x", "y"], data=[[5, 6.0]])
    run.log({"chart": wandb.plot_table("wandb/line/v0", points, {"x": "x", "y": "y"})}, step=40)
    run.summary["best"] = 0.2
    run.config["late"] = [1, 2]
    for content in ("first", "second", "second", "third"):
        Path("best.ckpt").write_text(content)
        artifact = wandb.Artifact("model", "checkpoint", metadata={"epoch": 1})
        artifact.add_file("best.ckpt")
        run.log_artifact(artifact, aliases=["best", content])
for code in (1, 255):
    wandb.init(project="p", id=f"ended with {code}").finish(exit_code=code)
"""


def test_what_a_client_logs_arrives(backend: Backend, client: Run) -> None:
    client(backend, LOGS)
    run = backend.runs["r"]
    assert (run.project, run.entity, run.name) == ("p", "tester", "a name")
    assert (run.group, run.job_type, run.notes, run.tags) == ("g", "train", "a note", ["a", "b"])
    assert run.config == {"lr": 0.1, "net": {"width": 8}, "late": [1, 2]}
    assert run.steps == [0, 10, 20, 30, 40] and [row.get("val/f1") for row in run.rows[:3]] == [0, 0.1, 0.2]
    assert (run.summary["best"], run.summary["val/f1"], run.overwritten) == (0.2, 0.2, 0)

    image = run.rows[3]["image"]
    for file in (image["path"], image["masks"]["prediction"]["path"]):
        assert run.files[file].startswith(b"\x89PNG")
    assert json.loads(run.files[run.rows[3]["table"]["path"]])["data"] == [[1, 2.0], [3, 4.0]]
    assert json.loads(run.files[run.rows[4]["chart_table"]["path"]])["columns"] == ["x", "y"]
    chart = run.stored_config["_wandb"]["value"]["visualize"]["chart"]
    assert chart["panel_config"]["panelDefId"] == "wandb/line/v0"
    assert b"late" in run.files["config.yaml"]

    versions = [artifact for artifact in run.artifacts if artifact.name == "model"]
    assert [version.files["best.ckpt"] for version in versions] == [b"first", b"second", b"third"]
    assert [set(version.aliases) for version in versions] == [{"first"}, {"second"}, {"best", "third", "latest"}]
    assert all(version.committed and version.type == "checkpoint" for version in versions)
    assert versions[0].metadata == {"epoch": 1} and list(versions[0].manifest["contents"]) == ["best.ckpt"]
    assert {"run-r-table", "run-r-chart_table"} < {artifact.name for artifact in run.artifacts}

    ended = [(run.state, run.exit_code, run.complete) for run in backend.runs.values()]
    assert ended == [("finished", 0, True), ("failed", 1, True), ("killed", 255, True)]


SEGMENT = """
with wandb.init(project="p", id="r", resume="allow", config={{"{0}": 1, "both": "{0}"}}) as run:
    print(run.resumed, run.step)
    for step in {1}:
        run.log({{"of": "{0}"}}, step=step)
    run.summary["{0}"] = 1
"""


@pytest.mark.slow
def test_a_resumed_run_has_each_step_once(backend: Backend, client: Run) -> None:
    """What the first client sent stays; the second one drops the steps that are there and keeps config and summary."""
    assert client(backend, SEGMENT.format("first", [0, 10, 20, 30]), WANDB_TAGS="kept").stdout == "False 0\n"
    assert backend.runs["r"].state == "finished"
    done = client(backend, SEGMENT.format("second", [20, 30, 40, 50]))
    assert done.stdout.startswith("True ") and "Tried to log to step 20 that is less than" in done.stderr
    run = backend.runs["r"]
    assert (run.steps, run.overwritten) == ([0, 10, 20, 30, 40, 50], 0)
    assert [row["of"] for row in run.rows] == ["first"] * 4 + ["second"] * 2
    assert run.config == {"first": 1, "second": 1, "both": "second"} and run.tags == ["kept"]
    assert run.summary.items() >= {"first": 1, "second": 1, "_step": 50}.items()


@pytest.mark.slow
def test_a_killed_clients_run_stays_running(backend: Backend, client: Run, tmp_path: Path) -> None:
    kill = "os.kill(os.getpid(), signal.SIGKILL)"
    log = "wandb.init(project='p', id='r').log({'v': 1})"
    client(backend, f"import os, signal, time\n{log}\ntime.sleep(1)\n{kill}", code=-9)
    run = backend.runs["r"]
    assert (run.state, run.exit_code, run.complete) == ("running", None, False)
    assert Recording(offline_folder(tmp_path, "r")).exit_code is None


@pytest.mark.slow
def test_what_is_not_understood_is_noted(client: Run) -> None:
    with Backend() as server:
        client(server, "with wandb.init(project='p', id='r') as run:", "  run.alert('title', 'text')")
        assert [name for name, _ in server.unknown] == ["NotifyScriptableRunAlert"]
        assert server.runs["r"].state == "finished"
        assert request(server, "GET", "/oidc/config")[0] == 404
        assert request(server, "POST", "/graphql", b'{"query": "mutation CommitArtifact {}"}')[0] == 400
        assert request(server, "POST", "/files/tester/p/nobody/file_stream", b"{}")[0] == 404
        assert len(server.unknown) == 4


def request(server: Backend, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, bytes]:
    """One request to a server: status and content of the answer."""
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=10)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_rows_are_stored_by_their_offsets(backend: Backend) -> None:
    """Without a client: bodies in chunks and by gzip, rows sent once more, files put and got."""
    query = json.dumps({"query": "mutation UpsertBucket {}", "variables": {"name": "r", "config": "{}"}})
    assert request(backend, "POST", "/graphql", gzip.compress(query.encode()), Content_Encoding="gzip")[0] == 200
    run = backend.runs["r"]
    place = "/files/tester/uncategorized/r/file_stream"
    for offset, values in ((0, [0, 1]), (1, [1, 2]), (4, [4]), (3, [3]), (2, [7])):
        rows = [json.dumps({"_step": value}) for value in values]
        body = json.dumps({"files": {"wandb-history.jsonl": {"offset": offset, "content": rows}}}).encode()
        assert request(backend, "POST", place, iter([body[:20], body[20:]]))[0] == 200  # in chunks
    assert (run.steps, run.overwritten) == ([0, 1, 7, 3, 4], 1)
    assert request(backend, "PUT", "/files/r/media/a%20b.png", b"content")[0] == 200
    assert run.files == {"media/a b.png": b"content"}
    assert request(backend, "GET", "/files/r/media/a%20b.png") == (200, b"content")


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["500", "hang"])
def test_a_fault_comes_and_goes(
    fault: str, backend: Backend, waiting: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    """A client that meets it has a recording of all, and goes on when it is gone; another one gives up."""
    code = "r = wandb.init(project='p', id='{}', {})\ninput()\nr.log({{'v': 1}})\nr.finish()"
    with Backend() as other:
        patient, hasty = waiting(backend, code.format("patient", "")), waiting(other, code.format("hasty", QUICK))
        wait_for(lambda: backend.runs and other.runs)
        backend.fault = other.fault = fault
        before = backend.requests, other.requests
        _, told = hasty.communicate("\n", timeout=60)
        assert hasty.returncode == 0 and "Timed out finishing run" in told
        assert other.requests > before[1] and (other.runs["hasty"].rows, other.runs["hasty"].state) == ([], "running")
        start = time.monotonic()
    assert time.monotonic() - start < 2, "closing waits for nobody"
    recording = Recording(offline_folder(tmp_path, "hasty"))
    assert ([row["v"] for row in recording.rows], recording.exit_code) == ([1], 0)

    print(file=patient.stdin, flush=True)
    wait_for(lambda: backend.requests > before[0])
    backend.fault = None
    _, told = patient.communicate(timeout=60)
    assert (patient.returncode, backend.runs["patient"].state) == (0, "finished"), told
    assert [row["v"] for row in backend.runs["patient"].rows] == [1]


def test_a_closed_server_refuses() -> None:
    with Backend() as server:
        with pytest.raises(ValueError, match="fault is one of"):
            server.fault = "404"
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=10)
        connection.request("GET", "/")
        connection.getresponse().read()
    server.close()
    with pytest.raises(ConnectionError):
        request(server, "GET", "/")
    with pytest.raises((ConnectionError, http.client.HTTPException)):  # nor does it answer who was connected
        connection.request("GET", "/")
        connection.getresponse()
    connection.close()


@pytest.mark.slow
def test_an_offline_run_is_read_back_and_sent(offline: Path, backend: Backend, client: Run, tmp_path: Path) -> None:
    client(backend, LOGS, WANDB_MODE="offline")
    assert backend.requests == 0
    folder = offline_folder(tmp_path, "r")
    recording = Recording(folder)
    assert recording.records == inspect(folder / "run-r.wandb")
    assert (recording.steps, recording.exit_code) == ([0, 10, 20, 30, 40], 0)
    assert recording.rows[1].items() >= {"epoch": 1, "val/f1": 0.1}.items()
    assert (folder / "files" / recording.rows[3]["image.path"]).is_file()
    assert recording.config == {"lr": 0.1, "net": {"width": 8}, "late": [1, 2]}
    assert (recording.summary["best"], recording.summary["val/f1"]) == (0.2, 0.2)
    assert (recording.run["run_group"], recording.run["job_type"]) == ("g", "train")
    assert Recording(offline_folder(tmp_path, "ended with 255")).exit_code == 255

    command = [sys.executable, "-m", "wandb", "sync", "--yes", str(folder)]
    environment = backend.environment(tmp_path)
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "Finished syncing" in done.stderr
    run = backend.runs["r"]
    assert (run.steps, run.config, run.state) == (recording.steps, recording.config, "finished")
    assert run.files[run.rows[3]["image"]["path"]] and run.summary["best"] == 0.2
    assert [artifact.files for artifact in run.artifacts if "best" in artifact.aliases] == [{"best.ckpt": b"third"}]

    with pytest.raises(FileNotFoundError):
        Recording(tmp_path / "nowhere.wandb")


VIEWS = """
import wandb_workspaces.reports.v2 as reports
import wandb_workspaces.workspaces as workspaces
curve = reports.LinePlot(x="epoch", y=["val/f1"], groupby="net.width", groupby_rangefunc="stddev")
section = workspaces.Section("Curves", panels=[curve], is_open=True)
workspace = workspaces.Workspace(name="one", entity="tester", project="p", sections=[section])
workspace.save()
workspace.name = "two"
workspace.save()
print(workspaces.Workspace.from_url(workspace.url).sections[0].name)
grid = reports.PanelGrid(runsets=[reports.Runset(entity="tester", project="p")], panels=[curve])
report = reports.Report(project="p", entity="tester", title="Results", blocks=[reports.H1("All"), grid])
report.save()
print(reports.Report.from_url(report.url).title)
"""


@pytest.mark.slow
def test_a_workspace_and_a_report_arrive(online: Backend, client: Run) -> None:
    """The workspace that was saved twice is one view."""
    assert client(online, VIEWS).stdout == "Curves\nResults\n"
    workspace, report = online.views
    assert (workspace["type"], workspace["displayName"]) == ("project-view", "two")
    assert (report["type"], report["displayName"]) == ("runs", "Results")
    assert {(view["entityName"], view["projectName"]) for view in online.views} == {("tester", "p")}
    (section, *_) = workspace["spec"]["section"]["panelBankConfig"]["sections"]
    assert section["panels"][0]["config"]["metrics"] == ["val/f1"]
    assert [block["type"] for block in report["spec"]["blocks"]][:2] == ["paragraph", "heading"]
