"""View of a stage that a pipeline runs: its events in the terminal and in Prefect, as they come."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from prefect.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact
from prefect.logging import get_run_logger

from components.core.plain_text import without_quotations
from flows.system.run_folder import EventReader, LineReader, StageFolder
from flows.tracking.progress import Screen, progress_line

EVERY_S = 5.0
"""Seconds before the first look of the bar in Prefect, and between two; a stage that ends sooner has none."""


class StageView:
    """Shows a stage; made and called on the thread of its Prefect task.

    Args:
        known: it is a stage of ours, which has events; of one of the user's own, what it and DVC
            print is shown.
    """

    def __init__(self, folder: StageFolder, screen: Screen, known: bool) -> None:
        self.name, self._screen, self._known = folder.name, screen, known
        self._key = folder.name.replace("@", "-")
        self._events, self._printed = EventReader(folder), LineReader(folder.dvc_log)
        self._logger = get_run_logger()
        self._bar: UUID | None = None
        self._sent_at = self._logged_at = time.monotonic()

    def refresh(self) -> None:
        """Show what is new."""
        for event in self._events.new():
            if event["kind"] == "log":
                self.line(event["text"])
            elif event["kind"] == "progress":
                self._screen.progress(self.name, event)
                self._progress(event)
        if not self._known:
            self.lines()

    def line(self, text: str) -> None:
        """Show a line in the terminal and in Prefect's log."""
        self._screen.show(self.name, text)
        self._logger.info(text)

    def lines(self) -> None:
        """Show what the stage and DVC printed since the last call."""
        for line in b"\n".join(self._printed.new()).decode(errors="replace").splitlines():
            if line.strip():
                self.line(line.rstrip())

    def _progress(self, event: dict[str, Any]) -> None:
        """The bar in Prefect, one artifact that is kept up to date, and now and then a line of its log."""
        now, total = time.monotonic(), event["total"]
        if not total or now - self._sent_at < EVERY_S:
            return
        self._sent_at = now
        text = f"{event['done']:,} of {total:,} {event['unit']}, {event['time']}  {event['note']}{event['budget']}"
        percent = 100.0 * min(1.0, event["done"] / total)
        self._logger.info(progress_line(event))
        with self._harmless():
            if self._bar:
                update_progress_artifact(self._bar, percent, text)
            else:
                bar = create_progress_artifact(percent, key=f"progress-{self._key}", description=text)
                self._bar = cast(UUID, bar)  # no coroutine outside of one

    @contextmanager
    def _harmless(self) -> Iterator[None]:
        """The picture of the work must not take the work down with it."""
        try:
            yield
        except Exception as error:
            self._screen.show(self.name, f"Prefect: not shown there: {type(error).__name__}: {error}")

    def end(self, report: Path, outcome: str) -> None:
        """The stage is over: no bar any more, and its report in Prefect if it completed and wrote one."""
        self._screen.end(self.name)
        if outcome == "Completed" and report.exists():
            text = without_quotations(report.read_text(encoding="utf-8"))
            with self._harmless():
                create_markdown_artifact(text, key=self._key, description=f"Report of {self.name}")
