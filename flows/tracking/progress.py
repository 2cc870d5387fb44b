"""How a running stage is seen: each report an event of its run, a line of its log and, without a pipeline, of the
terminal; phases in the ledger. `Screen` shows the events of a pipeline's stages in its terminal.
"""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from components.carbon.planning.forecast import TRAINING
from components.core.errors import Stopped
from components.core.plain_text import abbreviated, plain
from components.core.progress import Progress
from flows.system.run_folder import EventWriter

INTERVAL_S = 4.0
"""Seconds between progress lines where the output is no terminal, and in the log."""
LIVE_S = 0.2
"""Seconds between progress lines in a terminal."""
EVENT_S = 1.0
"""Seconds between progress events."""
WIDTH = 79
"""Characters of a progress line in a terminal at most; elsewhere it is whole."""


def bar(done: int, total: int | None) -> str:
    """A bar of twelve characters and how much of what is done."""
    filled = round(12 * min(done / total, 1.0)) if total else 0
    return f"[{'#' * filled:.<12}] {done:,}" + (f"/{total:,}" if total else "")


def progress_line(event: dict[str, Any]) -> str:
    """A progress event as a line: bar, unit, time, note."""
    return f"{bar(event['done'], event['total'])} {event['unit']}, {event['time']}  {event['note']}".rstrip()


class Screen:
    """The lines of a pipeline's stages in the terminal: on a terminal the last one shows the progress, in place."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._running: dict[str, dict[str, Any]] = {}
        self._last_shown = dict[str, float]()
        self._lock = threading.Lock()

    def show(self, stage: str, line: str) -> None:
        """Show a line of a stage, whole."""
        with self._lock:
            self._print(f"{stage:>17} | {plain(line)}")
            self._draw()

    def progress(self, stage: str, event: dict[str, Any]) -> None:
        """Show how far a stage is: in place, or as a line every few seconds and at the end of the work at hand."""
        with self._lock:
            self._running[stage] = event
            now, last = time.monotonic(), event["total"] is not None and event["done"] >= event["total"]
            if not self._terminal and (last or now - self._last_shown.get(stage, -INTERVAL_S) >= INTERVAL_S):
                self._last_shown[stage] = now
                self._print(f"{stage:>17} | {plain(progress_line(event))}")
            self._draw()

    def end(self, stage: str) -> None:
        """The stage is over: its progress is no longer shown."""
        with self._lock:
            self._running.pop(stage, None)
            self._draw()

    def _print(self, text: str) -> None:
        print(("\r\x1b[K" if self._terminal else "") + text, flush=True)

    def _draw(self) -> None:
        if not self._terminal:
            return
        running = self._running.items()
        if len(running) > 1:
            parts = [f"{stage} {bar(one['done'], one['total'])[15:]}, {one['time']}" for stage, one in running]
        else:
            parts = [f"{stage:>17} | {progress_line(one)}" for stage, one in running]
        print(f"\r\x1b[K{abbreviated(plain(' | '.join(parts)), WIDTH)}", end="", flush=True)


class StageProgress(Progress):
    """Progress of a stage that is shown, recorded, and can be stopped.

    Args:
        stage: named in the sentence of a stop.
        log: file that gets every line too.
        events: where the run's other processes read of it, or None.
        span: `Meter.span`, to meter phases.
        budget_check: called between steps; raises `Stopped` when a budget does not hold another
            step.
        joules: energy used so far, or None.
        quiet: a pipeline shows the events; this process prints nothing.

    Attributes:
        expected_s: seconds that the whole stage takes by its earlier runs; 0 if it has none.
        training_s: seconds of them of a fine-tuning's own training, its first, whose pace takes
            their place; then 0.
    """

    expected_s = training_s = 0.0

    def __init__(
        self,
        stage: str,
        log: Path,
        events: EventWriter | None = None,
        span: Callable[[str], AbstractContextManager] = lambda name: nullcontext(),
        budget_check: Callable[[], str] = lambda: "",
        joules: Callable[[], float] | None = None,
        quiet: bool = False,
    ) -> None:
        self.stage, self.span, self.budget_check = stage, span, budget_check
        self._events, self._budget, self._joules, self._quiet = events, "", joules, quiet
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = open(log, "a", encoding="utf-8")  # noqa: SIM115 - closed with the process
        self._started, self._last_shown, self._last_event = time.monotonic(), 0.0, 0.0
        # First report of the work at hand: done, total, when. Work begins anew where less is done than before.
        self._first: tuple[int, int | None, float] = (0, None, 0.0)
        self._done = 0
        self._training_since: float | None = None
        self._signal = ""
        self._terminal = sys.stdout.isatty() and not quiet

    def listen(self) -> None:
        """End at the next `raise_if_stopped()` after SIGTERM or SIGINT, with all saved that resuming needs."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: setattr(self, "_signal", "Cancelled"))

    def update(self, done: int, total: int | None, unit: str, note: str = "") -> None:
        now = time.monotonic()
        if total != self._first[1] or done < self._done:
            self._first = (done, total, now)
        self._done = done
        last = total is not None and done >= total
        event = {"done": done, "total": total, "unit": unit, "note": note}
        if last or now - self._last_event >= EVENT_S:
            self._last_event = now
            self._write_event("progress", **event, time=self._time(done, total, now), budget=self._budget)
        if last or now - self._last_shown >= (LIVE_S if self._terminal else INTERVAL_S):
            self._last_shown = now
            line = progress_line(event | {"time": self._time(done, total, now)})
            self._show(line, last, abbreviated(line, WIDTH))

    def _write_event(self, kind: str, **facts: Any) -> None:
        if self._events:
            self._events.write(kind, **facts)

    def _time(self, done: int, total: int | None, now: float) -> str:
        """Seconds left of the stage: by its earlier runs, and not less than the work at hand needs at its own pace.

        The pace is that since the first report: neither the start nor what an earlier run did
        counts. Without earlier runs nothing is known of the work that follows: `36+ s left`. Where
        neither is known: seconds since the start.
        """
        before, _, since = self._first
        elapsed, by_pace, expected_s = now - self._started, 0.0, self.expected_s
        if total and before < done <= total:
            by_pace = (now - since) * (total - done) / (done - before)
            if self.training_s and self._training_since is not None:
                expected_s += now - self._training_since + by_pace - self.training_s
        if left := max(by_pace, expected_s - elapsed, 0.0):
            more = " of the stage" if left > by_pace else ""  # other work follows the one at hand
            return f"{left:.0f}{'' if self.expected_s else '+'} s left{more}"
        return f"{elapsed:.0f} s"

    def _show(self, line: str, last: bool, in_terminal: str = "") -> None:
        """A line of the log, and of the terminal, if that shall not have another one, which the next one overwrites."""
        self._log.write(line + "\n")
        self._log.flush()
        if self._terminal:
            print(f"\r\x1b[K{in_terminal or line}", end="\n" if last else "", flush=True)
        elif not self._quiet:
            print(line, flush=True)

    def log_metrics(self, step: int, values: dict[str, float]) -> None:
        self._write_event("metrics", step=step, values={name: float(value) for name, value in values.items()})

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        self._training_since = started if name == TRAINING else None
        self._write_event("phase", name=name)
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
        self._write_event("log", text=text)
        self._show(text, last=True)
