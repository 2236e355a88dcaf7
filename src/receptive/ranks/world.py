"""The processes of a run on several devices: how they are started, meet, agree and part.

Every process is `python -m receptive.job FOLDER`, started by torchrun, by srun, or by rank 0, which is then the process
that was asked to run the job. Rank 0 alone holds the folder and writes into it. Imports torch only where there are
several.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import re
import sys
import threading
import time
from types import TracebackType
from typing import Any

from receptive.errors import InputError
from receptive.ranks.place import Place
from receptive.ranks.team import LEADER, Parting, RankLost, Team
from receptive.runs import Run
from receptive.signals import Interrupted, postponed

_PATIENCE = 60.0  # seconds that rank 0 waits for the others to hear what it has told
_HURRY = 10.0  # the same after a signal, which may have ended the others too
_GRACE = 10.0  # seconds that rank 0 has to record the end of a run
_LOOK = 0.05  # seconds between two looks at what the others have said
_LOST = re.compile(r"gloo|NCCL|connection (?:closed|reset|refused)|broken pipe", re.IGNORECASE)
_jobs = itertools.count()


class World:
    """The processes of a run, seen from one of them; of a run on one device there is nothing to see.

    In a `with` block: at its end the group is dissolved, and the processes that rank 0 has started are waited for, or
    ended where rank 0 leaves with an error.

    Args:
        place: of this process.
        run: whose log gets what the others say on stderr, where rank 0 starts them.
    """

    def __init__(self, place: Place, run: Run) -> None:
        self.place = place
        self._run = run
        self._team: Team | None = None
        self._store: Any = None
        self._told = self._met = self._joined = self._failed = False

    def __enter__(self) -> World:
        if self.place.ranks > 1 and (self.place.rank or self.place.started_by != "us"):
            self._store = _store(self.place, next(_jobs))
        return self

    def tell(self, state: str, **more: Any) -> None:
        """Rank 0: let the others know what is to be done; starts them where nobody has and something is to be done."""
        if self.place.ranks == 1 or self._told:
            return
        self._told = True
        if self._store is None:
            if state != "running":
                return
            with postponed():
                self._store = _own_store()
                self._team = Team(self.place.ranks, self._store.port, self._run, self._abandon)
        self._store.set("told", json.dumps({"state": state, **more}))

    def heard(self) -> dict[str, Any]:
        """The others: what rank 0 has told."""
        try:
            self._wait("told")
        finally:
            with contextlib.suppress(RuntimeError):  # rank 0, which has the store, has gone
                self._store.add("heard", 1)  # also of one that leaves: it is not to be waited for
        told: dict[str, Any] = json.loads(self._store.get("told"))
        return told

    def take_device(self, kind: str) -> None:
        """Make the accelerator (cuda or cpu) of this process the one that is used.

        Raises:
            InputError: several processes cannot use it.
        """
        if self.place.ranks == 1:
            return
        if kind == "mps":
            raise InputError(f"trainer.devices: {self.place.ranks} processes cannot share mps; give trainer.devices=1")
        if kind == "cuda":
            import torch

            count, here = torch.cuda.device_count(), self.place.local_rank
            if count == 1 and self.place.started_by == "srun":  # which may show each process its own alone
                here = 0
            if here >= count or (self.place.started_by == "us" and self.place.ranks > count):
                wanted = self.place.ranks if self.place.started_by == "us" else here + 1
                raise InputError(
                    f"trainer.devices: {wanted} processes of this machine want a CUDA device each, it has {count}"
                )
            torch.cuda.set_device(here)

    def join(self) -> None:
        """Make the process group, once all are ready for it.

        Raises:
            RankLost: one has ended or failed before.
        """
        if self.place.ranks == 1:
            return
        import torch.distributed as dist

        self._store.set(f"ready {self.place.rank}", "")
        for rank in range(self.place.ranks):
            self._wait(f"ready {rank}")
        self._heed_lost()  # one that was ready
        # gloo for what lies on the CPU and, where there is one, NCCL for the accelerator
        dist.init_process_group(
            store=_distributed().PrefixStore("group", self._store), rank=self.place.rank, world_size=self.place.ranks
        )
        self._met = self._joined = True

    def leave(self) -> None:
        """Dissolve the group: from here on nobody is waited for."""
        if self._team is not None:
            self._team.watching = False
        if self._joined:
            import torch.distributed as dist

            self._joined = False
            dist.destroy_process_group()

    def cause_of(self, error: Exception) -> RankLost | None:
        """What an error means that rank 0 has come upon: that another process has gone, or nothing of the kind.

        The others are of no use any more.
        """
        if self.place.ranks == 1:
            return None
        self._failed = True
        self._tell_absent(error)
        if isinstance(error, RankLost):
            return error
        from torch.distributed import DistError

        if not isinstance(error, DistError) and not (isinstance(error, RuntimeError) and _LOST.search(str(error))):
            return None
        lost = self._team.lost_soon() if self._team is not None else None
        return lost or RankLost("interrupted", "the connection to another rank was lost; see the log of the ranks")

    def _abandon(self, lost: RankLost) -> None:
        """Record the end of the run where rank 0 hangs: this process is going to end."""
        status = self._run.status()
        status.state, status.error, status.ended = lost.state, str(lost), time.time()
        self._run.write_status(status)
        print(f"receptive: {lost}", file=sys.stderr, flush=True)

    def _wait(self, key: str) -> None:
        """In Python, so that signals are heard."""
        while not self._store.check([key]):
            self._heed_lost()
            time.sleep(_LOOK)

    def _heed_lost(self) -> None:
        if self._team is not None and self._team.lost is not None:
            raise self._team.lost
        if self._store.check(["lost"]):
            raise RankLost(*json.loads(self._store.get("lost")))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.place.ranks == 1:
            return
        if error is not None:
            self._tell_absent(error)
        if self.place.rank == 0:
            self.tell("failed")
            if self._store is not None:
                if self.place.started_by != "us" and not self._met:
                    self._until_heard(_HURRY if isinstance(error, Interrupted) else _PATIENCE)
                self._store.set("over", "")
        self.leave()
        if self._team is not None:
            self._team.end(self._parting(error))
        if kind is not None and self.place.rank > 0 and self.place.started_by != "us":
            self._let_first_go()

    def _parting(self, error: BaseException | None) -> Parting:
        """Who has not met the others has nothing to bring to an end, and answers a signal late while it imports."""
        if error is None and not self._failed:
            return "wait"
        return "ask" if isinstance(error, Interrupted) and self._met and not self._failed else "kill"

    def _let_first_go(self) -> None:
        """Another rank that fails ends rank 0 by torchrun or srun: that shall record before how the run ended."""
        deadline = time.monotonic() + _GRACE
        with contextlib.suppress(RuntimeError):  # it has gone, and its store with it
            while time.monotonic() < deadline and not self._store.check(["over"]):
                time.sleep(_LOOK)

    def _tell_absent(self, error: BaseException) -> None:
        """Let those that wait in `join` know that this process will not come: srun does not end them by itself."""
        waited_for = self._told if self.place.rank == 0 else True
        if self._store is None or self._met or not waited_for or self.place.started_by == "us":
            return
        if isinstance(error, RankLost):
            state, cause = error.state, str(error)
        else:
            state = "failed" if isinstance(error, Exception) else "interrupted"
            cause = f"rank {self.place.rank}: {error}"
        with contextlib.suppress(RuntimeError):  # rank 0, which has the store, has gone
            self._store.compare_set("lost", "", json.dumps([state, cause]))  # the first, which others follow from

    def _until_heard(self, patience: float) -> None:
        """The store ends with this process: the others have to read it before."""
        deadline = time.monotonic() + patience
        while self._store.add("heard", 0) < self.place.ranks - 1 and time.monotonic() < deadline:
            time.sleep(_LOOK)


def _distributed() -> Any:
    import torch.distributed  # where there are several processes only

    return torch.distributed


def _own_store() -> Any:
    return _distributed().TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)


def _store(place: Place, job: int) -> Any:
    """What all processes of a job can read and write. Torchrun has one, else it is rank 0's."""
    if place.started_by == "us":  # for this job alone
        return _connection(place.address, place.port, False)
    elastic = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") if elastic else "0"
    return _distributed().PrefixStore(
        f"{attempt}/{job}", _connection(place.address, place.port, place.rank == 0 and not elastic)
    )


@functools.cache
def _connection(address: str, port: int, hosting: bool) -> Any:
    """One for all jobs of this process."""
    return _distributed().TCPStore(address, port, is_master=hosting, wait_for_workers=False)


def end_with_leader() -> None:
    """In a process that rank 0 has started: end when rank 0 ends, however it does."""
    if LEADER not in os.environ:
        return

    def watch() -> None:
        while os.read(0, 1):  # its end of the pipe is closed by the kernel
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
