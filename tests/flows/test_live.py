"""The bar of a running stage in Prefect: one artifact, updated in place, and nothing the stage waits for."""

import time

import pytest

from flows import house


@pytest.mark.slow
def test_one_artifact_is_updated_in_place() -> None:
    house.settle()
    from prefect import flow
    from prefect.client.orchestration import get_client
    from prefect.runtime import flow_run
    from prefect.testing.utilities import prefect_test_harness

    from flows.live import LiveProgress

    def artifacts() -> list:
        with get_client(sync_client=True) as client:
            return [one for one in client.read_artifacts() if one.key == "progress-pretrain-causal"]

    @flow(name="shown")
    def shown() -> None:
        live = LiveProgress(str(flow_run.id), "pretrain@causal", every_s=0.0)
        for done in (10, 75):
            began = time.perf_counter()
            live.show(done, 100, f"step {done}; budget of the run: 3 of 10 Wh")
            assert time.perf_counter() - began < 0.1
            until = time.monotonic() + 20
            while not any(one.data == float(done) for one in artifacts()) and time.monotonic() < until:
                time.sleep(0.2)
        live.show(3, None, "no end in sight: no bar")
        (one,) = artifacts()
        assert (one.type, float(one.data)) == ("progress", 75.0)
        assert one.description == "step 75; budget of the run: 3 of 10 Wh"
        assert str(one.flow_run_id) == str(flow_run.id)

    with prefect_test_harness(server_startup_timeout=120):
        shown()
