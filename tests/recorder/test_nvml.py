"""NVML: units and widths of recorded counters, devices without one, and the real bindings' names."""

import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from greenhouse_record.metering import nvml
from greenhouse_record.metering.meter import Meter
from greenhouse_record.tree_meter import RecordWriter, TreeCounters

RECORDED = json.loads(Path(__file__).with_name("machines.json").read_bytes())["nvml"]


def driver(counters: list[int | None], pids: list[int] | None = None, **failing: int) -> Any:
    """A driver with these counters (None: the device has none), by the names the real bindings have.

    Args:
        failing: calls that end in an error, by the number of it.
    """

    def raises(code: int) -> Any:
        raise pynvml.NVMLError(code)

    def or_error(value: Any) -> Any:
        return raises(pynvml.NVML_ERROR_NOT_SUPPORTED) if value is None else value

    calls: dict[str, Callable] = {
        "nvmlInit": lambda: None,
        "nvmlDeviceGetCount": lambda: len(counters),
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetTotalEnergyConsumption": lambda device: or_error(counters[device]),
        "nvmlDeviceGetName": lambda device: f"GPU {device}",
        "nvmlDeviceGetUUID": lambda device: f"GPU-{device}abc-0",
        "nvmlDeviceGetComputeRunningProcesses": lambda device: [SimpleNamespace(pid=pid) for pid in or_error(pids)],
    }
    calls |= {name: partial(raises, code) for name, code in failing.items()}
    assert all(callable(getattr(pynvml, name)) for name in calls)
    return SimpleNamespace(NVMLError=pynvml.NVMLError, **calls)


def test_recorded_counters_keep_all_their_digits() -> None:
    values = RECORDED["counters_mj"]["values"]
    assert max(values) > 2**32
    energy, pids = nvml.read_nvml(driver(values, [42]))
    assert energy == {f"nvml:{index}": 1000 * value for index, value in enumerate(values)}
    assert pids == {name: [42] for name in energy}


def test_a_card_without_a_counter_is_left_out_and_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(nvml, "DEVICE", str(tmp_path))
    old = driver([5, None], [42])
    assert nvml.read_nvml(old) == ({"nvml:0": 5000}, {"nvml:0": [42]})
    assert nvml.read_nvml(driver([5])) == ({"nvml:0": 5000}, {"nvml:0": []}), "it names no processes"
    monkeypatch.setitem(sys.modules, "pynvml", old)
    assert nvml.open_nvml() == (old, "GPU 1 has no energy counter: its energy is not counted")
    monkeypatch.setitem(sys.modules, "pynvml", driver([5]))
    assert nvml.open_nvml()[1] == ""


def test_a_driver_that_is_lost_in_the_middle_fails_no_reading() -> None:
    assert nvml.read_nvml(driver([5], nvmlDeviceGetCount=pynvml.NVML_ERROR_GPU_IS_LOST)) == ({}, {})


def test_a_device_whose_driver_does_not_open_is_said_and_no_device_is_silent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(nvml, "DEVICE", str(tmp_path / "none"))
    assert nvml.open_nvml() == (None, "")
    monkeypatch.setattr(nvml, "DEVICE", str(tmp_path))
    monkeypatch.setitem(sys.modules, "pynvml", driver([5], nvmlInit=pynvml.NVML_ERROR_DRIVER_NOT_LOADED))
    module, lacking = nvml.open_nvml()
    assert module is None
    assert "Driver Not Loaded" in lacking
    assert "not counted" in lacking


@pytest.mark.parametrize(
    ("setting", "seen"),
    [(None, "012"), ("0,2", "02"), ("", ""), ("-1", ""), ("GPU-1abc", "1"), ("GPU-1abc-0, 2", "12"), ("MIG-x", "012")],
)
def test_a_process_sees_the_devices_that_its_environment_names(setting: str | None, seen: str) -> None:
    assert nvml.visible(driver([1, 1, 1]), setting) == {f"nvml:{index}" for index in seen}
    assert nvml.visible(None, setting) == set()
    assert nvml.device_names(driver([1])) == ["GPU 0"]


def test_a_tree_is_given_its_processes_share_of_the_devices_it_sees(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of two devices one is hidden; on the other runs one process of ours and one of another's: half is ours."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    monkeypatch.setattr(nvml, "open_nvml", lambda: (driver([5, 5], [os.getpid(), 1]), ""))
    counters = TreeCounters(itself=True)
    with Meter(tmp_path, 60, {}, counters, RecordWriter(tmp_path / "r.jsonl")) as meter:
        counters.nvml = driver([1005, 2005], [os.getpid(), 1])
        meter.read()
    lines = [json.loads(text) for text in (tmp_path / "r.jsonl").read_text().splitlines()]
    line = next(line for line in lines if line["kind"] == "reading")
    assert line["host_uj"].get("gpu1") == [2_000_000] * 3
    assert "gpu0" not in line["host_uj"]
    assert line["spans"][meter.id]["uj"]["gpu1"] == [1_000_000] * 3
