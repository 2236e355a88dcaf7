"""`receptive wandb dashboard`: a study's workspace and report page in W&B, made from its folder.

What was saved is noted in wandb/dashboard.json of the folder: the next time the same two are replaced.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from receptive.errors import InputError
from receptive.files import read_json, write_atomically
from receptive.runs import shown
from receptive.tracking.board import Board, board_of
from receptive.tracking.options import entity_of, keep_below, project_of
from receptive.tracking.record import Record, digest_of_run
from receptive.tracking.sync import place_of_cache, runs_of

_REQUEST = 6.0  # seconds for the server's answer to one request, which is made twice
NAME = "wandb/dashboard.json"


@dataclass(frozen=True)
class Saved:
    """What a folder's dashboards are in W&B.

    Args:
        workspace: id of the view; "" of none.
        name: of the view, as its address has it.
        workspace_url: its address.
        report: id of the page; "" of none.
        report_url: its address.
    """

    workspace: str = ""
    name: str = ""
    workspace_url: str = ""
    report: str = ""
    report_url: str = ""


def print_dashboard(root: Path, project: str | None = None, entity: str | None = None) -> None:
    """Print as JSON what would be saved; asks neither a key nor a server.

    Raises:
        InputError: there is no run in the folder, or wandb-workspaces is missing.
    """
    board = board_of(root)
    workspace, report = _built(board, project or project_of(board.project), entity or entity_of(board.entity) or "")
    models = {"workspace": workspace._to_model(), "report": report._to_model()}
    dumped = {kind: model.model_dump(mode="json", by_alias=True, exclude_none=True) for kind, model in models.items()}
    print(json.dumps(dumped, indent=1, ensure_ascii=False))


def save_dashboard(root: Path, project: str | None, entity: str | None, console: Console) -> None:
    """Save both, in place of those of the last time, and print their addresses.

    Args:
        root: the folder of a study, sweep or run.
        project: of W&B; None: that of the runs' configs.
        entity: user or team; None: that of the runs' configs, else the key's own.
        console: is told.

    Raises:
        InputError: there is no run in the folder, wandb-workspaces or a key is missing, or the server refuses.
    """
    board = board_of(root)
    _require()
    runs = runs_of(root, console)
    os.environ |= keep_below(place_of_cache(root, runs))
    with _client() as api:
        entity = entity or entity_of(board.entity) or api.default_entity
        if not entity:
            raise InputError("the key has no entity of its own: give --entity")
        project = project or project_of(board.project)
        workspace, report = _built(board, project, entity)
        place = f"{api.settings['base_url']}/{entity}/{project}"
        all_saved = _read(root)
        known = _still_there(all_saved.get(place, Saved()), entity, project)
        report.id = known.report
        report.save()  # first: it makes the project where there is none
        known = Saved(**asdict(known) | {"report": report.id, "report_url": report.url})
        _write(root, all_saved | {place: known})
        workspace._internal_id, workspace._internal_name = known.workspace, known.name
        workspace.save()
        known = Saved(workspace._internal_id, workspace._internal_name, workspace.url, report.id, report.url)
        _write(root, all_saved | {place: known})
    for kind, url in (("workspace", known.workspace_url), ("report", known.report_url)):
        console.print(f"{kind}: {url}")
    ended = [run for run in runs if run.state() not in ("waiting", "running")]
    if lacking := sum(not Record.read(run.folder).has(digest_of_run(run)) for run in ended):
        told = f"{lacking} of {len(ended)} runs are not in W&B, or not all of them"
        console.print(f"{told}: receptive wandb sync {shlex.quote(shown(root))} sends them")


def _require() -> None:
    """Raise InputError where wandb-workspaces is missing."""
    if importlib.util.find_spec("wandb_workspaces") is None:
        raise InputError("a dashboard is built by wandb-workspaces: pip install wandb-workspaces")


def _built(board: Board, project: str, entity: str) -> tuple[Any, Any]:
    """The workspace and the report."""
    _require()
    with warnings.catch_warnings():
        # wandb-workspaces 0.4 declares validators as pydantic 1 did
        text = "Pydantic V1 style `@validator` validators are deprecated"
        warnings.filterwarnings("ignore", text, DeprecationWarning, module=r"wandb_workspaces\.")
        from receptive.tracking.views import report_of, workspace_of
    return workspace_of(board, project, entity), report_of(board, project, entity)


@contextmanager
def _client() -> Iterator[Any]:
    """The client, silent, with little patience; its errors as the user's."""
    import wandb
    from wandb.sdk.lib.service.service_connection import WandbApiFailedError

    from receptive.tracking.mode import choose_mode, set_up

    settings = wandb.Settings(silent=True, x_graphql_timeout_seconds=_REQUEST, x_graphql_retry_max=1)
    set_up(settings)
    try:
        if trouble := choose_mode(asked=True).why:
            raise InputError(f"nothing can be saved: {trouble}; --print shows what would be")
        yield wandb.Api()
    except (wandb.errors.Error, WandbApiFailedError, ValueError) as error:
        raise InputError(f"W&B has not taken the dashboard: {' '.join(str(error).split())}") from None
    finally:
        wandb.teardown()


def _still_there(saved: Saved, entity: str, project: str) -> Saved:
    """What of it W&B still has: someone may have deleted a view there, which then cannot be replaced."""
    from wandb_workspaces.reports.v2.interface import Report
    from wandb_workspaces.workspaces.errors import SpecVersionError
    from wandb_workspaces.workspaces.internal import get_view_dict

    kept = asdict(saved)
    if saved.workspace:
        try:
            get_view_dict(entity, project, saved.name.removeprefix("nw-").removesuffix("-v"))
        except ValueError:  # it, or its project, is not found
            kept |= {"workspace": "", "name": "", "workspace_url": ""}
        except SpecVersionError:  # the app has brought it into a newer form
            pass
    if saved.report:
        try:
            # the id alone is read of an address, and a title may hold / or ?
            Report.from_url(f"https://any/entity/project/reports/title--{saved.report}", as_model=True)
        except TypeError:  # the package looks into the answer, which is empty
            kept |= {"report": "", "report_url": ""}
        except ValueError:  # a block of the app's that the package does not know
            pass
    return Saved(**kept)


def _read(root: Path) -> dict[str, Saved]:
    """Server, entity and project -> what was saved there; a damaged file counts as none."""
    path = root / NAME
    try:
        return {place: Saved(**one) for place, one in read_json(path).items()} if path.is_file() else {}
    except (InputError, TypeError):
        return {}


def _write(root: Path, saved: dict[str, Saved]) -> None:
    (root / NAME).parent.mkdir(exist_ok=True)
    write_atomically(root / NAME, json.dumps({place: asdict(one) for place, one in saved.items()}, indent=1) + "\n")
