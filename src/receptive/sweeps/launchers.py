"""How the jobs of a sweep are run on this machine. A launcher takes folders and raises for no job's failure."""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, cast

from receptive.console import new_console
from receptive.files import last_line
from receptive.runs import Run
from receptive.signals import Interrupted, signal_name
from receptive.sweeps.endings import record_death, say_end
from receptive.sweeps.places import WorkerPlace, dealt_out

_GRACE = 30.0  # seconds that workers have to stop at the end of a batch


def run_local(folders: Iterable[Path], total: int) -> None:
    """Run jobs one after the other in this process.

    Args:
        folders: of the jobs; each is asked for when the one before it has ended.
        total: how many are expected.
    """
    from receptive.job import explain, run_job

    console = new_console()
    for number, folder in enumerate(folders, 1):
        try:
            run_job(Run(folder), new_console(quiet=True))
        except Exception as error:
            record_death(Run(folder), explain(error))
        say_end(console, number, total, Run(folder))


def run_packed(folders: Iterable[Path], total: int, places: Sequence[WorkerPlace]) -> None:
    """Run jobs in worker processes, one at each place.

    A worker that dies costs the job that it ran. When this process dies, workers finish their job and leave.

    Args:
        folders: of the jobs; each is asked for when a worker has nothing to do.
        total: how many are expected.
        places: where the workers run; the first `total` of them are used.
    """
    pool = _Pool(iter(folders), total)
    if said := dealt_out(places[:total]):
        pool.console.print(said)
    try:
        for place in places[:total]:
            pool.start(place)
        pool.run()
    except BaseException:
        pool.stop()
        raise


class _Pool:
    """Worker processes, each fed one folder at a time."""

    def __init__(self, queue: Iterator[Path], total: int) -> None:
        self.queue = queue
        self.total = total
        self.ended = 0
        self.console = new_console()
        self.selector = selectors.DefaultSelector()
        self.leaving: list[_Worker] = []

    def start(self, place: WorkerPlace) -> None:
        """Start a worker at a place and give it its first job, if there is one."""
        if (folder := next(self.queue, None)) is None:
            return
        # what jobs say stands in their log.txt; this is what a worker dies of outside of them, closed when it has ended
        complaints = tempfile.TemporaryFile()  # noqa: SIM115
        process = subprocess.Popen(
            [sys.executable, "-m", "receptive.job"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            bufsize=1,
            env=place.environment(),
            start_new_session=True,  # a Ctrl-C reaches this process alone, which stops the workers in order
        )
        if pin := getattr(os, "sched_setaffinity", None):  # not on macOS
            pin(process.pid, place.cores)
        worker = _Worker(process, place, complaints)
        self.selector.register(worker.answers, selectors.EVENT_READ, worker)
        worker.give(folder)

    def _feed(self, worker: _Worker) -> None:
        if (folder := next(self.queue, None)) is not None:
            worker.give(folder)
        else:
            self.selector.unregister(worker.answers)
            worker.dismiss()
            self.leaving.append(worker)

    def run(self) -> None:
        """Feed the workers until all jobs have ended; they leave together, as each may have something to send."""
        while self.selector.get_map():
            for key, _ in self.selector.select():
                worker = cast(_Worker, key.data)
                answer = worker.answers.readline()
                if not answer:
                    self.selector.unregister(worker.answers)
                    cause, status = worker.cause_of_death(), worker.job.status()
                    if (status.state, status.pid) != ("interrupted", worker.process.pid):  # it told itself
                        record_death(worker.job, cause)
                elif answer.startswith("failed "):  # the job could not even record it
                    record_death(worker.job, answer.partition(" ")[2].strip())
                self.ended += 1
                say_end(self.console, self.ended, self.total, worker.job)
                if answer:
                    self._feed(worker)
                else:
                    self.start(worker.place)
        for worker in self.leaving:
            worker.process.wait()

    def stop(self) -> None:
        """Ask all workers to stop at the end of a batch; kill those that do not."""
        workers = [*self.leaving, *(cast(_Worker, key.data) for key in list(self.selector.get_map().values()))]
        for worker in workers:
            worker.process.terminate()
        for worker in workers:
            try:
                worker.process.wait(_GRACE)
            except (subprocess.TimeoutExpired, Interrupted):  # asked twice
                worker.process.kill()
                worker.process.wait()


class _Worker:
    """A process that runs one job after the other."""

    def __init__(self, process: subprocess.Popen[str], place: WorkerPlace, complaints: IO[bytes]) -> None:
        self.process = process
        self.place = place
        self.complaints = complaints
        self.answers = cast(IO[str], process.stdout)
        self.job = Run(Path())

    def give(self, folder: Path) -> None:
        """Hand over a job; a worker that is gone is noticed when its answer is read."""
        self.job = Run(folder)
        self.complaints.seek(0)  # the worker writes at the same place
        self.complaints.truncate()  # what models print in a whole sweep would fill the disk
        with contextlib.suppress(BrokenPipeError):
            print(folder, file=self.process.stdin, flush=True)

    def dismiss(self) -> None:
        """Let it end, without waiting for it."""
        self._close()

    def cause_of_death(self) -> str:
        """How the process ended."""
        code, said = self.process.wait(), last_line(self.complaints)
        self._close()
        if code < 0:
            return f"the worker was killed by {signal_name(-code)}"
        return f"the worker ended with code {code}" + (f" ({said})" if said else "")

    def _close(self) -> None:
        self.complaints.close()
        for pipe in (self.process.stdin, self.answers):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):  # a folder that a dead worker never read
                pipe.close()
