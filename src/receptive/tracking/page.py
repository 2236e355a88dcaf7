"""A run's page in W&B: opened, given rows, closed."""

from __future__ import annotations

import contextlib
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self, cast

import wandb

from receptive.lease import Taken, leased
from receptive.tracking.identity import Identity
from receptive.tracking.mode import Mode
from receptive.tracking.options import WandbOptions, project_of
from receptive.tracking.record import Record

_INIT = 10.0  # seconds for a run to be known to the server
_FINISH = 12.0  # seconds for what waits to be sent at a run's end
_FINISH_LATER = 40.0  # the same where no training waits for it
_FORMER = 15.0  # seconds for a former attempt's mirror to end


class Page:
    """One page at a time for a folder.

    Args:
        folder: in which the client keeps its files, below wandb/.
        identity: of the run in W&B.
        options: of the config.
        mode: "online" or "offline".
        pid: of the process whose memory and devices are watched; 0: of none.
        later: nobody waits for the end of the process that trained.

    Attributes:
        last: the last step that W&B has.
        record: what is noted in the folder.

    Raises:
        wandb.errors.Error: the client or the server refuses.
        Taken: another process writes the page.
        TimeoutError: at its end the server has not taken all.
    """

    def __init__(
        self, folder: Path, identity: Identity, options: WandbOptions, mode: Mode, *, pid: int = 0, later: bool = False
    ) -> None:
        self.folder, self.identity, self.options = folder, identity, options
        self.last = 0
        self.record = Record(identity.id, mode.kind, why=mode.why)
        self._pid = pid
        self._finish = _FINISH_LATER if later else _FINISH
        self._resources = contextlib.ExitStack()

    def open(self) -> Self:
        """Make it, or go on with it."""
        (self.folder / "wandb").mkdir(exist_ok=True)
        self._hold()
        try:
            self._forget_recordings()
            self.run = self._begin()
            self.last = self.run.starting_step - 1 if self.run.resumed else 0
            if self.record.kind == "online":
                self.record = replace(self.record, url=self.run.url or "")
            self.record.write(self.folder)
        except BaseException:
            self._resources.close()
            raise
        return self

    def _hold(self) -> None:
        """Wait for who writes the page now: the mirror of a killed attempt ends it there."""
        deadline = time.monotonic() + _FORMER
        while True:
            try:
                self._resources.enter_context(leased(self.folder / "wandb" / "lock"))
                return
            except Taken:
                if time.monotonic() > deadline:
                    raise

    def _begin(self) -> wandb.Run:
        settings = wandb.Settings(
            root_dir=str(self.folder),
            mode=cast(Literal["online", "offline"], self.record.kind),
            silent=True,
            console="off",
            program="receptive",
            disable_git=True,
            disable_code=True,
            save_code=False,
            disable_job_creation=True,
            x_save_requirements=False,
            x_disable_meta=True,
            x_disable_stats=not self._pid,
            init_timeout=_INIT,
            finish_timeout=self._finish,
            finish_timeout_raises=True,
        )
        if self._pid:
            settings.x_stats_pid = self._pid
        identity, options = self.identity, self.options
        return wandb.init(
            project=project_of(options.project),
            entity=options.entity,
            id=identity.id,
            name=identity.name,
            group=identity.group,
            job_type=identity.job_type,
            tags=identity.tags,
            notes=identity.notes,
            config=identity.config,
            resume="allow",
            reinit="create_new",
            settings=settings,
        )

    def log(self, step: int, values: dict[str, Any]) -> bool:
        """Give W&B a row, unless it has it; gives whether it had not."""
        if step <= self.last:
            return False
        self.run.log(values, step=step, commit=True)  # else a row waits for the next one
        self.last = step
        return True

    def close(self, code: int, digest: str) -> None:
        """End the run in W&B with an exit code; `digest`: of all that it was given."""
        with self._resources:
            self.run.finish(exit_code=code)
            replace(self.record, digest=digest).write(self.folder)

    def drop(self, code: int) -> None:
        """End the run in W&B with an exit code, if that can be done; not all was sent."""
        with self._resources, contextlib.suppress(Exception):
            self.run.finish(exit_code=code)

    def _forget_recordings(self) -> None:
        """Remove what earlier attempts have recorded: each records all, from the first epoch on."""
        for path in (self.folder / "wandb").glob("*run-*"):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
