"""How a running stage is seen: progress in the terminal and the log, figures in MLflow, phases in the ledger."""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from components.core.errors import Stopped
from components.core.progress import Progress
from flows.tracking.mlflow_run import Tracker
from flows.tracking.prefect_progress import PrefectProgress

INTERVAL_S = 4.0
"""Seconds between progress lines where the output is no terminal."""


class FlowProgress(Progress):
    """Progress of a stage that its flow shows, records and can stop.

    Args:
        stage: name shown before every line.
        log: file that gets every line too.
        tracker: MLflow run, or None.
        span: `Meter.span`, to meter phases.
        budget_check: called between steps; raises `Stopped` when a budget does not hold another step.
        live: the bar in Prefect, or None.
        joules: energy used so far, or None.
    """

    def __init__(
        self,
        stage: str,
        log: Path,
        tracker: Tracker | None = None,
        span: Callable[[str], AbstractContextManager] = lambda name: nullcontext(),
        budget_check: Callable[[], str] = lambda: "",
        live: PrefectProgress | None = None,
        joules: Callable[[], float] | None = None,
    ) -> None:
        self.stage, self.tracker, self.span, self.budget_check, self.live = stage, tracker, span, budget_check, live
        self._budget, self._joules = "", joules
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = open(log, "a", encoding="utf-8")  # noqa: SIM115 - closed with the process
        self._started, self._shown = time.monotonic(), 0.0
        self._first: tuple[int, int | None, float] = (
            0,
            None,
            0.0,
        )  # first report of the work at hand: done, total, when
        self._signal = ""
        self._terminal = sys.stdout.isatty()

    def listen(self) -> None:
        """End at the next `raise_if_stopped()` after SIGTERM or SIGINT, with all saved that resuming needs."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: setattr(self, "_signal", "Cancelled"))

    def update(self, done: int, total: int | None, unit: str, note: str = "") -> None:
        now = time.monotonic()
        if total != self._first[1] or done < self._first[0]:
            self._first = (done, total, now)
        last = total is not None and done >= total
        if now - self._shown < (0.2 if self._terminal else INTERVAL_S) and not last:
            return
        self._shown = now
        line = f"{unit}, {self._time(done, total, now)}  {note}".rstrip()
        self._show(f"{_bar(done, total)} {line}", last)
        if self.live:
            self.live.show(done, total, f"{done:,} of {total:,} {line}{self._budget}" if total else line)

    def _time(self, done: int, total: int | None, now: float) -> str:
        """Seconds left, at the pace since the first report: neither the start nor what an earlier run did counts."""
        before, _, since = self._first
        if not total or done >= total or done == before:
            return f"{now - self._started:.0f} s"
        return f"{(now - since) * (total - done) / (done - before):.0f} s left"

    def _show(self, line: str, last: bool) -> None:
        self._log.write(line + "\n")
        self._log.flush()
        if self._terminal:
            print(f"\r\x1b[K{line[:160]}", end="\n" if last else "", flush=True)
        else:
            print(line, flush=True)

    def log_metrics(self, step: int, values: dict[str, float]) -> None:
        if self.tracker:
            self.tracker.log_metrics(step, values)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        with self.span(name):
            yield

    def joules(self) -> float | None:
        return self._joules() if self._joules else None

    def raise_if_stopped(self) -> None:
        if self._signal:
            raise Stopped(self._signal, f"{self.stage}: cancelled; all is saved, run it again to go on from here")
        self._budget = self.budget_check()

    def log(self, text: str) -> None:
        self._show(text, last=True)


def _bar(done: int, total: int | None) -> str:
    if not total:
        return f"{done:,}"
    filled = round(20 * min(done / total, 1.0))
    return f"[{'#' * filled}{'.' * (20 - filled)}] {done:,}/{total:,}"
