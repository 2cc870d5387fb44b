"""How a running stage is seen: progress in the terminal and the log, figures in MLflow, phases in the ledger."""

import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from components.carbon.planning.forecast import TRAINING
from components.core.errors import Stopped
from components.core.plain_text import plain
from components.core.progress import Progress
from flows.tracking.mlflow_run import Tracker
from flows.tracking.prefect_progress import PrefectProgress

INTERVAL_S = 4.0
"""Seconds between progress lines where the output is no terminal."""
WIDTH = 79
"""Characters of a progress line at most."""
BAR = re.compile(r"\[[#.]{12}\] (?P<done>\S+) [^,]+, (?P<time>.*?)(  .*)?")
"""A progress line: the bar, how much of what is done, how long it takes, the note."""


class Screen:
    """The lines of a pipeline's stages in the terminal: on a terminal the last one shows the progress, in place."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._running: dict[str, str] = {}
        self._lock = threading.Lock()

    def show(self, stage: str, line: str) -> None:
        """Show a line of a stage."""
        line = plain(line)
        text, is_progress = f"{stage:>17} | {line}", BAR.fullmatch(line)
        with self._lock:
            if is_progress:
                self._running[stage] = line
            if not is_progress or not self._terminal:
                print(("\r\x1b[K" if self._terminal else "") + (text[:WIDTH] if is_progress else text), flush=True)
            self._draw()

    def end(self, stage: str) -> None:
        """The stage is over: its progress is no longer shown."""
        with self._lock:
            self._running.pop(stage, None)
            self._draw()

    def _draw(self) -> None:
        if not self._terminal:
            return
        lines = {stage: f"{stage:>17} | {line}" for stage, line in self._running.items()}
        if len(lines) > 1:
            parts = {stage: BAR.fullmatch(line) for stage, line in self._running.items()}
            lines = {stage: f"{stage} {part['done']}, {part['time']}" for stage, part in parts.items() if part}
        line = " | ".join(lines.values())
        print(f"\r\x1b[K{line[:WIDTH]}", end="", flush=True)


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

    Attributes:
        expected_s: seconds that the whole stage takes by its earlier runs; 0 if it has none.
        training_s: seconds of them of a fine-tuning's own training, its first, whose pace takes their place; then 0.
    """

    expected_s = training_s = 0.0

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
        # First report of the work at hand: done, total, when.
        self._first: tuple[int, int | None, float] = (0, None, 0.0)
        self._training_since: float | None = None
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
        """Seconds left of the stage: by its earlier runs, and not less than the work at hand needs at its own pace.

        The pace is that since the first report: neither the start nor what an earlier run did counts. Without earlier
        runs nothing is known of the work that follows: `36+ s left`. Where neither is known: seconds since the start.
        """
        before, _, since = self._first
        elapsed, by_pace, expected_s = now - self._started, 0.0, self.expected_s
        if total and before < done <= total:
            by_pace = (now - since) * (total - done) / (done - before)
            if self.training_s and self._training_since is not None:
                expected_s += now - self._training_since + by_pace - self.training_s
        if left := max(by_pace, expected_s - elapsed, 0.0):
            more = " of the stage" if done == total else ""  # the work at hand is done
            return f"{left:.0f}{'' if self.expected_s else '+'} s left{more}"
        return f"{elapsed:.0f} s"

    def _show(self, line: str, last: bool) -> None:
        self._log.write(line + "\n")
        self._log.flush()
        if self._terminal:
            print(f"\r\x1b[K{line[:WIDTH] if BAR.fullmatch(line) else line}", end="\n" if last else "", flush=True)
        else:
            print(line, flush=True)

    def log_metrics(self, step: int, values: dict[str, float]) -> None:
        if self.tracker:
            self.tracker.log_metrics(step, values)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        self._training_since = started if name == TRAINING else None
        with self.span(name):
            yield
        if name == TRAINING and self.training_s:
            self.expected_s += time.monotonic() - started - self.training_s
            self.training_s, self._training_since = 0.0, None

    def joules(self) -> float | None:
        return self._joules() if self._joules else None

    def raise_if_stopped(self) -> None:
        if self._signal:
            raise Stopped(self._signal, f"{self.stage}: cancelled; all is saved, run it again to go on from here")
        self._budget = self.budget_check()

    def log(self, text: str) -> None:
        self._show(text, last=True)


def _bar(done: int, total: int | None) -> str:
    filled = round(12 * min(done / total, 1.0)) if total else 0
    return f"[{'#' * filled:.<12}] {done:,}" + (f"/{total:,}" if total else "")
