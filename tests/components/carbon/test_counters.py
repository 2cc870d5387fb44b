"""Counters: RAPL from a recorded tree of /sys, NVML behind its interface, and this machine's own."""

import os
from pathlib import Path
from types import SimpleNamespace

from components.carbon.attribution import _counted, entry
from components.carbon.counters import SystemCounters, rapl_zones, read_nvml, utc
from tests.components.carbon.world import HOST, WATTS, WRAP_UJ, World

PACKAGE_RANGE_UJ = 262_143_328_850
DRAM_RANGE_UJ = 65_712_999_613


def powercap(folder: Path) -> Path:
    """The zones of a two-socket Xeon: packages, their cores and memory, the MMIO copy, and psys."""
    zones = {
        "intel-rapl:0": ("package-0", 1_000),
        "intel-rapl:0:0": ("core", 400),
        "intel-rapl:0:1": ("dram", 50),
        "intel-rapl:1": ("package-1", 2_000),
        "intel-rapl:1:0": ("dram", 60),
        "intel-rapl:2": ("psys", 9_000),
        "intel-rapl-mmio:0": ("package-0", 1_000),
    }
    for zone, (name, energy_uj) in zones.items():
        (folder / zone).mkdir(parents=True)
        (folder / zone / "name").write_text(f"{name}\n")
        (folder / zone / "energy_uj").write_text(f"{energy_uj}\n")
        limit = DRAM_RANGE_UJ if name == "dram" else PACKAGE_RANGE_UJ
        (folder / zone / "max_energy_range_uj").write_text(f"{limit}\n")
    return folder


def test_packages_and_memory_are_read_and_nothing_twice(tmp_path: Path) -> None:
    zones = rapl_zones(powercap(tmp_path))
    assert sorted(zones) == ["rapl:dram-0", "rapl:dram-1", "rapl:package-0", "rapl:package-1"]
    assert zones["rapl:dram-1"][1] == DRAM_RANGE_UJ


def test_zones_that_may_not_be_read_are_left_out(tmp_path: Path) -> None:
    (powercap(tmp_path) / "intel-rapl:1" / "energy_uj").unlink()
    assert "rapl:package-1" not in rapl_zones(tmp_path)


def test_a_reading_has_the_zones_and_this_process(tmp_path: Path) -> None:
    counters = SystemCounters(powercap(tmp_path))
    reading = counters.read()
    assert reading.energy_uj["rapl:package-1"] == 2_000
    me = reading.processes[os.getpid()]
    assert me.parent == os.getppid()
    assert me.rss_bytes > 1_000_000
    assert counters.host.threads >= counters.host.usable_threads >= 1
    assert counters.read().at_us > reading.at_us


def test_a_recorded_zone_that_wraps_between_two_readings(tmp_path: Path) -> None:
    """The files of a Xeon, before and after package 0 started again from zero."""
    zone = powercap(tmp_path) / "intel-rapl:0" / "energy_uj"
    zone.write_text(f"{PACKAGE_RANGE_UJ - 5_000_000}\n")
    counters = SystemCounters(tmp_path)
    before = counters.read()
    zone.write_text("7000000\n")
    after = counters.read()
    name = "rapl:package-0"
    grown = _counted(before.energy_uj[name], after.energy_uj[name], after.wrap_uj[name])
    assert grown == 12_000_000
    assert _counted(9, 4, None) == 4  # a counter that does not wrap was reset


def test_rapl_that_wraps_is_measured_and_has_no_spread() -> None:
    world = World(rapl=True, rapl_uj=WRAP_UJ - 1000)
    stage = world.fork(2)
    world.open(stage, "stage")
    world.burn(stage, 1_000_000)
    world.pass_time(1_000_000)
    line = entry(world.books, world.reading(), WATTS, HOST)
    assert line is not None
    assert line["host_uj"]["cpu"] == (12_000_000,) * 3
    assert line["spans"]["stage"]["uj"]["cpu"] == [12_000_000] * 3
    assert line["source"] == {"cpu": "measured:rapl", "memory": "measured:rapl"}


class NVMLError(Exception):
    """As in pynvml."""


def test_nvml_millijoules_become_microjoules_and_an_old_card_is_left_out() -> None:
    def energy(device: int) -> int:
        if device == 1:
            raise NVMLError("not supported")
        return 123_456

    nvml = SimpleNamespace(
        NVMLError=NVMLError,
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetTotalEnergyConsumption=energy,
        nvmlDeviceGetComputeRunningProcesses=lambda device: [SimpleNamespace(pid=42)],
    )
    assert read_nvml(nvml) == ({"nvml:0": 123_456_000}, {"nvml:0": [42]})


def test_energy_is_kept_where_nvml_names_no_processes() -> None:
    def processes(device: int) -> list:
        raise NVMLError("not permitted")

    nvml = SimpleNamespace(
        NVMLError=NVMLError,
        nvmlDeviceGetCount=lambda: 1,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetTotalEnergyConsumption=lambda device: 5,
        nvmlDeviceGetComputeRunningProcesses=processes,
    )
    assert read_nvml(nvml) == ({"nvml:0": 5000}, {"nvml:0": []})


def test_utc() -> None:
    assert utc(0.0425) == "1970-01-01T00:00:00.042Z"
