"""A running stage's bar in Prefect: one progress artifact of its flow run, kept up to date beside the work.

Sent from a thread of its own, every few seconds at most, the newest state alone: the stage never waits for it. A stage
that ends sooner has none. The line under the bar says what the stage says, and what of the budget is used.
"""

import threading
import time
from uuid import UUID

EVERY_S = 5.0
"""Seconds before the first update, and between two."""


class PrefectProgress:
    """The bar of a flow run.

    Args:
        flow_run: its id.
        stage: named in the artifact's key and line.
    """

    def __init__(self, flow_run: str, stage: str, every_s: float = EVERY_S) -> None:
        self.flow_run, self.stage, self.every_s = UUID(flow_run), stage, every_s
        self._newest: tuple[float, str] | None = None
        self._sent_at = time.monotonic()
        self._wake = threading.Event()
        threading.Thread(target=self._work, name="live-progress", daemon=True).start()

    def show(self, done: int, total: int | None, line: str) -> None:
        """Have this state sent, if it is time to; returns at once."""
        now = time.monotonic()
        if not total or now - self._sent_at < self.every_s:
            return
        self._sent_at = now
        self._newest = (100.0 * min(1.0, done / total), line)
        self._wake.set()

    def _work(self) -> None:
        self._wake.wait()  # short stages need no client
        self._wake.set()
        from prefect.client.orchestration import get_client
        from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate

        artifact: UUID | None = None
        try:
            with get_client(sync_client=True) as client:
                while True:
                    self._wake.wait()
                    self._wake.clear()
                    percent, line = self._newest or (0.0, "")
                    if artifact:
                        client.update_artifact(artifact, ArtifactUpdate(data=percent, description=line))
                        continue
                    key = f"progress-{self.stage.replace('@', '-')}"
                    made = ArtifactCreate(
                        type="progress", key=key, data=percent, description=line, flow_run_id=self.flow_run
                    )  # fmt: skip
                    artifact = client.create_artifact(made).id
        except Exception as error:  # the picture of the work must not take the work down with it
            print(f"Prefect: no progress shown: {type(error).__name__}: {error}", flush=True)
