"""Attribution: exact to the microjoule whatever processes do, and right about who used it."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenhouse_record.metering import constants
from greenhouse_record.metering.attribution import SHARED, MeterState, remember
from tests.components.carbon.world import HOST, World

EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["burn", "burn", "fork", "end", "zombie", "reap", "open", "close", "sample", "wait"]),
        st.integers(0, 1000),
        st.integers(0, 2_000_000),
    ),
    max_size=60,
)


def happen(world: World, event: tuple[str, int, int]) -> None:
    """One event; `which` picks the process or span it happens to."""
    kind, which, amount = event
    mortal = [pid for pid, task in world.tasks.items() if pid > 2 and not task.zombie]
    able = [pid for pid, task in world.tasks.items() if pid > 1 and not task.zombie]
    zombies = [pid for pid, task in world.tasks.items() if task.zombie]
    world.pass_time(amount // 10)
    if kind == "burn":
        world.burn(able[which % len(able)], amount)
    elif kind == "fork":
        world.fork(able[which % len(able)])
    elif kind in ("end", "zombie") and mortal:
        world.end(mortal[which % len(mortal)], reap=kind == "end")
    elif kind == "reap" and zombies:
        world.reap(zombies[which % len(zombies)])
    elif kind == "open" and mortal:
        pid = mortal[which % len(mortal)]
        inner = [span.id for span in world.state.spans.values() if span.pid == pid]
        world.open(pid, f"span-{amount}-{len(world.lines)}-{world.now_us}", inner[-1] if inner else "")
    elif kind == "close" and world.state.spans:
        world.close(list(world.state.spans)[which % len(world.state.spans)])
    elif kind == "sample":
        world.sample()


def with_a_stage(name: str = "stage") -> tuple[World, int]:
    """A machine with a span of a process, and that process."""
    world = World()
    return world, world.begun(name)


def assert_reconciles(line: dict) -> None:
    for name, host in line["host_uj"].items():
        rest = line["unattributed_uj"][name]
        assert min(rest) >= 0, (name, line)
        for bound in range(3):
            spans = sum(part["uj"].get(name, (0, 0, 0))[bound] for part in line["spans"].values())
            assert spans + rest[bound] == host[bound]
        assert host[0] <= host[1] <= host[2]
    assert sum(part["cpu_us"] for part in line["spans"].values()) <= line["busy_us"]


@settings(max_examples=300)
@given(EVENTS, st.booleans())
def test_spans_and_unattributed_are_the_host_exactly(events: list, rapl: bool) -> None:
    world = World(rapl=rapl)
    stage = world.begun("stage")
    busy, used = world.busy_us, world.rapl_true_uj
    for event in events:
        happen(world, event)
        if stage not in world.tasks or world.tasks[stage].zombie or "stage" not in world.state.spans:
            break  # from here there may be nobody who meters
    else:
        world.sample()
        assert sum(line["busy_us"] for line in world.lines) == world.busy_us - busy
        if rapl:
            assert sum(line["host_uj"]["cpu"][1] for line in world.lines) == world.rapl_true_uj - used
    for line in world.lines:
        assert_reconciles(line)
    for id, span in world.state.spans.items():  # what `Meter.totals` says is what the lines add up to
        assert span.cpu_us == world.cpu_us(id)
        parts = [uj for line in world.lines for uj in line["spans"].get(id, {"uj": {}})["uj"].values()]
        assert tuple(span.uj) == tuple(sum(uj[bound] for uj in parts) for bound in range(3))
    assert [line["seq"] for line in world.lines] == list(range(1, len(world.lines) + 1))


@settings(max_examples=300)
@given(EVENTS)
def test_what_is_reaped_within_the_tree_is_counted_once(events: list) -> None:
    """No process outlives its parent here: then the span has every microsecond of its tree, no more and no less."""
    world, stage = with_a_stage()
    for kind, which, amount in events:
        leaf = [pid for pid in world.tasks if pid > stage and pid not in {one.parent for one in world.tasks.values()}]
        if kind in ("end", "zombie"):
            if leaf:
                world.end(leaf[which % len(leaf)], reap=kind == "end")
        elif kind not in ("open", "close"):
            happen(world, (kind, which, amount))
    world.sample()
    assert world.cpu_us("stage") == world.tree_us(stage)


@pytest.mark.parametrize("adopted", [True, False])
def test_an_orphan_that_the_recorder_reaps_is_counted_once(adopted: bool) -> None:
    """Its parent and it ended between two readings: half of its time counted twice, as a reading had it already.

    Where it ends before its parent, which reaps it, nothing of it is to be taken off anybody.
    """
    world, recorder = with_a_stage()
    train = world.fork(recorder)
    between = world.fork(train)
    orphan = world.fork(between)
    world.step(500_000, {orphan: 400_000, train: 10_000})
    if adopted:
        world.end(between)
        world.tasks[orphan].parent = recorder  # which takes the place of init
    world.burn(orphan, 100_000)
    world.end(orphan)
    if not adopted:
        world.end(between)
    world.sample()
    assert world.cpu_us("stage") == world.tree_us(recorder) == 510_000


def test_an_orphan_that_was_read_while_its_parent_ended_is_counted_once() -> None:
    """Its last reading names a parent that is gone; nearly all of its time counted twice when it was reaped."""
    world, recorder = with_a_stage()
    between = world.fork(world.fork(recorder))
    orphan = world.fork(between)
    world.step(500_000, {orphan: 100_000})
    world.end(between)
    world.tasks[orphan].parent = between  # read before it was adopted
    world.step(500_000, {orphan: 400_000})
    world.tasks[orphan].parent = recorder
    world.burn(orphan, 10_000)
    world.end(orphan)
    world.sample()
    assert world.cpu_us("stage") == world.tree_us(recorder) == 510_000


def test_a_stage_inside_a_pipeline_is_not_the_pipelines() -> None:
    world, pipeline = with_a_stage("pipeline")
    dvc = world.fork(pipeline)
    stage = world.begun("stage", dvc, "pipeline")
    for amount in (100_000, 200_000):
        world.step(400_000, {stage: amount, pipeline: 1_000, dvc: 2_000})
    assert (world.cpu_us("stage"), world.cpu_us("pipeline")) == (300_000, 2 * 3_000)
    world.close("stage")
    world.burn(stage, 5_000)  # the interpreter shuts down
    world.end(stage)
    world.end(dvc)
    world.sample()
    assert (world.cpu_us("stage"), world.cpu_us("pipeline")) == (300_000, 2 * 3_000 + 5_000)


def test_the_last_moments_of_a_killed_stage_are_its_own() -> None:
    world, pipeline = with_a_stage("pipeline")
    stage = world.begun("stage", pipeline, "pipeline")
    world.step(200_000, {stage: 100_000})
    world.burn(stage, 70_000)
    world.end(stage)
    world.step(200_000)
    assert (world.cpu_us("stage"), world.cpu_us("pipeline")) == (170_000, 0)
    assert "stage" not in world.state.spans


def test_a_worker_that_outlives_its_pool_stays_with_the_stage() -> None:
    world, stage = with_a_stage()
    pool = world.fork(stage)
    worker = world.fork(pool)
    world.sample()
    world.end(pool)
    world.step(0, {worker: 300_000})
    assert world.cpu_us("stage") == 300_000


def test_two_stages_at_once_share_the_idle_power_and_nothing_counts_twice() -> None:
    world, a = with_a_stage("a")
    b = world.begun("b")
    for _ in range(5):
        line = world.step(1_000_000, {a: 900_000, b: 300_000, 2: 200_000})
    assert (world.cpu_us("a"), world.cpu_us("b")) == (4_500_000, 1_500_000)
    assert line["spans"]["a"]["uj"]["idle"] == line["spans"]["b"]["uj"]["idle"]
    assert line["spans"]["a"]["wall_us"] == 500_000
    assert line["unattributed_uj"]["cpu"][1] == round(200_000 * (3.5 - 0.74))


@pytest.mark.parametrize(("lags_us", "host_us"), [([5_000, -5_000] * 10, 4_300_000), ([25_000] * 5, 1_175_000)])
def test_a_host_counter_that_lags_or_falls_behind_takes_nothing_from_the_spans(lags_us: list, host_us: int) -> None:
    """Ticks see less than the kernel's clock of each process; the gap was carried over, and lost when a span ended."""
    world, stage = with_a_stage()
    began_us = world.busy_us
    for lag_us in lags_us:
        world.busy_us -= lag_us
        assert_reconciles(world.step(200_000, {stage: 200_000}))
    assert world.cpu_us("stage") == world.tree_us(stage) == 200_000 * len(lags_us)
    world.step(300_000, {2: 300_000})  # others' time is the host's again once its counter has caught up
    assert sum(line["busy_us"] for line in world.lines) == world.busy_us - began_us == host_us


def test_a_state_file_of_an_older_version_is_read() -> None:
    world, _ = with_a_stage("a")
    older = json.loads(json.dumps(world.state.to_json()))
    older["spans"]["a"]["pending_us"] = 7
    assert MeterState.from_json(older) == world.state
    assert {tuple(row) for row in older["seen"].values()} == {("start", "parent", "own_us", "reaped_us", "domain")}


def test_nobody_metering_means_no_line_and_a_new_start() -> None:
    world, _ = with_a_stage("a")
    world.close("a")
    lines = len(world.lines)
    world.step(3_600_000_000, {2: 1_000_000})
    assert len(world.lines) == lines
    line = world.step(20_000, {world.begun("b"): 10_000})
    assert (line["busy_us"], line["dt_us"]) == (10_000, 20_000)


def test_a_clock_that_went_back_starts_anew() -> None:
    world, _ = with_a_stage("a")
    assert world.step(-500_000) == {}
    assert world.step(10_000)["dt_us"] == 10_000


def test_a_hidden_host_counter_is_said() -> None:
    world, stage = with_a_stage()
    world.burn(stage, 40_000)
    line = world.line(busy_us=None)
    assert (line["counter"], line["busy_us"]) == ("processes", 40_000)


@pytest.mark.parametrize(
    ("pids", "shares", "source"),
    [
        ([4], {"b": 8000}, "measured:nvml"),
        ([99999], {"a": 4000, "b": 4000}, "measured:nvml" + SHARED),  # they are hidden
        (None, {"a": 4000, "b": 4000}, "measured:nvml" + SHARED),  # the device does not name them
    ],
)
def test_a_gpu_goes_to_the_process_on_it_or_to_the_leaves_equally(
    pids: list[int] | None, shares: dict[str, int], source: str
) -> None:
    world, _ = with_a_stage("a")
    world.begun("b")
    world.state.energy_uj = {"nvml:0": 1000}
    line = world.line(energy_uj={"nvml:0": 9000}, gpu_pids={} if pids is None else {"nvml:0": pids})
    assert line["source"]["gpu0"] == source
    used = {name: part["uj"]["gpu0"] for name, part in line["spans"].items() if "gpu0" in part["uj"]}
    assert used == {name: [uj] * 3 for name, uj in shares.items()}
    assert line["unattributed_uj"]["gpu0"] == [0] * 3


def test_a_counter_that_one_reading_lacks_goes_on_from_its_last_known_value() -> None:
    """A stage's process opens NVML beside its first reading, which therefore lacks it."""
    world, _ = with_a_stage("pipeline")
    remember(world.state, replace(world.reading(), energy_uj={"nvml:0": 1000}))
    world.begun("stage")
    assert world.line(energy_uj={"nvml:0": 9000})["host_uj"]["gpu0"] == (8000,) * 3


def test_what_a_gpu_used_while_nobody_metered_is_nobodys() -> None:
    world, _ = with_a_stage("yesterday")
    remember(world.state, replace(world.reading(), energy_uj={"nvml:0": 1000}))
    world.close("yesterday")
    world.pass_time(3_600_000_000)
    world.begun("today")
    for counted, used in ((5_000_000, None), (5_000_700, (700,) * 3)):
        assert world.line(energy_uj={"nvml:0": counted})["host_uj"].get("gpu0") == used


def test_a_busy_thread_idles_once() -> None:
    """The worked example: two threads, one of them busy for 10 s."""
    world, stage = with_a_stage()
    world.burn(stage, 10_000_000)
    world.pass_time(10_000_000)
    used = world.line(replace(HOST, usable_threads=2))["host_uj"]
    assert (used["idle"][1], used["cpu"][1]) == (14_800_000, 27_600_000)
    per_gb_w = constants.bounds("memory_w_per_gb").as_list()
    assert list(used["memory"]) == [round(80_000_000 * watts) for watts in per_gb_w]
    assert world.line()["host_uj"]["cpu"] == (0, 0, 0)


def test_what_waits_for_a_stage_keeps_its_memory_for_it() -> None:
    """Prefect and DVC (two processes) are resident while stage `a` runs: 30 of the 50 MB in use are the stage's."""
    world, pipeline = with_a_stage("pipeline")
    world.begun("a", world.fork(pipeline), "pipeline")
    line = world.step(1_000_000)
    assert line["spans"]["a"]["uj"]["memory"] == [uj * 30 // 50 for uj in line["host_uj"]["memory"]]
    assert "memory" not in line["spans"].get("pipeline", {"uj": {}})["uj"]
    world.begun("b", pipeline, "pipeline")
    spans = world.step(1_000_000)["spans"]
    assert spans["a"]["uj"]["memory"] == spans["b"]["uj"]["memory"]  # own 10 MB and half of the 20 MB that wait
    world.close("a")
    world.close("b")
    assert world.step(1_000_000)["spans"]["pipeline"]["uj"]["memory"]


def test_a_span_that_only_used_a_gpu_has_used_no_processor() -> None:
    world, pipeline = with_a_stage("pipeline")
    world.begun("a", pipeline, "pipeline")
    pids = {"gpu_pids": {"nvml:0": [pipeline]}}
    remember(world.state, replace(world.reading(), energy_uj={"nvml:0": 5_000_000}, **pids))
    line = world.line(energy_uj={"nvml:0": 5_000_300}, **pids)
    assert line["spans"]["pipeline"] == {"cpu_us": 0, "uj": {"gpu0": [300] * 3}}
