"""The bar of a running stage in Prefect: one artifact, updated in place, and nothing the stage waits for."""

import threading
import time
from typing import Any

import pytest


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_harness")
def test_one_artifact_is_updated_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect import flow
    from prefect.client.orchestration import SyncPrefectClient, get_client
    from prefect.runtime import flow_run

    from flows.tracking.prefect_progress import PrefectProgress

    def artifacts() -> list:
        with get_client(sync_client=True) as client:
            return [one for one in client.read_artifacts() if one.key == "progress-pretrain-causal"]

    may_send, waited = threading.Event(), list[bool]()

    def held(send: Any) -> Any:
        return lambda *arguments: (waited.append(may_send.wait(60)), send(*arguments))[1]

    for name in ("create_artifact", "update_artifact"):
        monkeypatch.setattr(SyncPrefectClient, name, held(getattr(SyncPrefectClient, name)))

    @flow(name="shown")
    def shown() -> None:
        live = PrefectProgress(str(flow_run.id), "pretrain@causal", every_s=0.0)
        for done in (10, 75):
            may_send.clear()
            live.show(done, 100, f"step {done}; budget of the run: 3 of 10 Wh")
            assert not any(one.data == float(done) for one in artifacts()), "it came back before it was sent"
            may_send.set()
            until = time.monotonic() + 60
            while not any(one.data == float(done) for one in artifacts()) and time.monotonic() < until:
                time.sleep(0.2)
        live.show(3, None, "no end in sight: no bar")
        (one,) = artifacts()
        assert (one.type, float(one.data)) == ("progress", 75.0)
        assert one.description == "step 75; budget of the run: 3 of 10 Wh"
        assert str(one.flow_run_id) == str(flow_run.id)

    shown()
    assert waited == [True, True]
