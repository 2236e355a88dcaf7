"""A run's folder in W&B: while it trains, at its end, and again whenever it is to be sent."""

from __future__ import annotations

from collections.abc import Sequence

import wandb

from receptive.config import plain
from receptive.errors import InputError
from receptive.runs import Run, State
from receptive.tracking.contents import end_of
from receptive.tracking.identity import identity_of
from receptive.tracking.mode import Mode
from receptive.tracking.options import default_wandb_options, wandb_options
from receptive.tracking.page import Page
from receptive.tracking.record import Record, digest_of_run

# as W&B's app shows them: finished, failed, killed
EXIT_CODES: dict[State, int] = {"done": 0, "pruned": 0, "failed": 1, "interrupted": 255}
_COUNTS = ("epoch", "step")  # columns of metrics.csv that are whole numbers
_TOLD = ("best_epoch", "epochs", "steps", "seconds", "seconds_per_epoch", "parameters", "precision")


class RunMirror:
    """One run in W&B, as its folder has it.

    Args:
        run: whose status.json names the id.
        mode: online or offline.
        pid: of the process that trains; 0: none does.

    Raises:
        InputError: a file of the folder is damaged.
        wandb.errors.Error: the client or the server refuses.
        Taken: another process mirrors the run.
    """

    def __init__(self, run: Run, mode: Mode, pid: int = 0) -> None:
        config = plain(run.config())
        run.metrics(), run.result()  # of a damaged folder no page is opened
        self.run = run
        self.options = wandb_options(config) or default_wandb_options()
        status = run.status()
        identity = identity_of(run, self.options, status.wandb_id or "")
        watched = pid if self.options.system_metrics else 0
        before = Record.read(run.folder)
        # its last row may have come without the files that it names
        self._doubtful = before.id == identity.id and before.kind == "online" and not before.digest
        self._ended = None if pid else status.ended
        self.page = Page(run.folder, identity, self.options, mode, pid=watched, later=not pid).open()
        self.sent = 0
        self._seen = b""  # of metrics.csv

    def look(self) -> None:
        """Send the epochs that have come to metrics.csv, once it ends with a whole line; it may be written just now."""
        try:
            content = self.run.metrics_path.read_bytes()
        except FileNotFoundError:
            return
        if content != self._seen and content.endswith(b"\n"):
            rows = self.run.metrics()
            if self.run.metrics_path.read_bytes() == content:
                self._seen = content
                self._send(rows)

    def _send(self, rows: Sequence[dict[str, float]]) -> None:
        if not all({"epoch", "seconds"} <= row.keys() for row in rows):
            raise InputError(f"{self.run.metrics_path} is damaged (a row without epoch or seconds): restore it")
        for place, row in enumerate(rows):
            if (epoch := int(row["epoch"])) > self.page.last:
                values = {key: int(value) if key in _COUNTS else value for key, value in row.items()}
                if self._ended is not None:  # W&B's clock would say that all epochs are of now
                    values["_timestamp"] = self._ended - sum(later["seconds"] for later in rows[place + 1 :])
                self.sent += self.page.log(epoch, values)

    def close(self, state: State) -> None:
        """Send what is left, and end the run in W&B as it ended.

        Raises:
            TimeoutError: the server has not taken all.
        """
        code = EXIT_CODES.get(state, EXIT_CODES["interrupted"])
        try:
            self.page.close(code, self._send_all(state))
        except BaseException:
            self.page.drop(code)
            raise

    def _send_all(self, state: State) -> str:
        """Send what is left; gives the digest of all."""
        digest, result = digest_of_run(self.run), self.run.result()
        self._send(self.run.metrics())
        if state == "done":
            self._send_end()
        told = {key: result[key] for key in _TOLD if key in result} | result.get("metrics", {})
        # the error of a former attempt is taken back
        self.page.run.summary.update(told | {"state": state, "error": self.run.status().error})
        return digest

    def _send_end(self) -> None:
        """Send what the test gave, as one more row, and the weights."""
        last = max((int(row["epoch"]) for row in self.run.metrics()), default=0)
        if (last >= self.page.last or self._doubtful) and (shown := end_of(self.run, self.options)):
            self.page.log(max(last, self.page.last) + 1, shown)
        best = self.run.checkpoints / "best.ckpt"
        if self.options.checkpoint and best.is_file():
            artifact = wandb.Artifact(f"{self.page.identity.id}-best", "model", metadata=self.run.result()["metrics"])
            artifact.add_file(str(best), policy="immutable", skip_cache=True)
            self.page.run.log_artifact(artifact, aliases=["best"])
