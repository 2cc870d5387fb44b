"""RAPL: which counters of real machines' trees are read, each once, and how they grow."""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from greenhouse_record.metering import rapl
from greenhouse_record.metering.counters import SystemCounters
from tests.components.carbon.world import World

MACHINES = json.loads(Path(__file__).with_name("machines.json").read_bytes())
NOBODY = 65534
FOUR = [f"rapl:{kind}-{number}" for kind in ("dram", "package") for number in range(4)]


def build(folder: Path, machine: dict[str, Any], mode: dict[str, str] | None = None) -> Path:
    """The tree as the kernel has it: zones nested in their control types, and a flat folder of links to all of them."""
    flat = folder / "class" / "powercap"
    flat.mkdir(parents=True)
    for zone, (name, energy_uj, range_uj) in machine["zones"].items():
        kind, *numbers = zone.split(":")
        path = folder / "devices" / "virtual" / "powercap" / kind
        for depth in range(len(numbers)):
            path /= f"{kind}:{':'.join(numbers[: depth + 1])}"
        path.mkdir(parents=True, exist_ok=True)
        for file, value in (("name", name), ("energy_uj", energy_uj), ("max_energy_range_uj", range_uj)):
            (path / file).write_text(f"{value}\n")
            (path / file).chmod(int((mode or {}).get(file, "444"), 8))
        (path / "enabled").write_text("0\n")  # of capping the power: the counter counts either way
        (flat / zone).symlink_to(path)
    for kind in {zone.partition(":")[0] for zone in machine["zones"]}:
        (flat / kind).symlink_to(folder / "devices" / "virtual" / "powercap" / kind)
    return flat


@contextlib.contextmanager
def as_a_user() -> Iterator[None]:
    """Without root's right to read everything."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.mark.parametrize(
    ("machine", "names"),
    [
        ("xeon, four sockets, numbered backwards", FOUR),
        ("xeon, two sockets, no memory counter", ["rapl:package-0", "rapl:package-1"]),
        ("i5-13500, a desktop", ["rapl:package-0"]),
        ("core ultra 7, psys and the mmio copy", ["rapl:package-0"]),
        ("threadripper 1950X, both dies show the socket", ["rapl:package-0-die-0"]),
    ],
)  # fmt: skip
def test_of_a_real_machine_each_joule_is_read_once(tmp_path: Path, machine: str, names: list[str]) -> None:
    facts = MACHINES["rapl"][machine]
    found = rapl.zones(build(tmp_path, facts), facts["cpu"])
    assert sorted(found) == names
    by_name = {zone: name for zone, (name, _, _) in facts["zones"].items()}
    for name, zone in found.items():
        folder = zone.path.parent.name
        own = by_name[folder] if "package" in name else by_name[folder.rpartition(":")[0]].replace("package", "dram")
        assert name == f"rapl:{own}"  # by the socket, whatever its number
        assert zone.wrap_uj == facts["zones"][folder][2]
    assert rapl.read(found) == {
        name: facts["zones"][zone.path.parent.name][1] for name, zone in found.items()
    }  # fmt: skip
    if machine.startswith("threadripper"):
        assert len(rapl.zones(tmp_path / "class/powercap", "Intel(R) Xeon(R) Platinum 9282")) == 2  # a counter each


def test_an_interface_alone_is_read_and_its_copy_is_the_spare(tmp_path: Path) -> None:
    """The MMIO copy has a memory zone under another number than the first interface's."""
    zones = {
        "intel-rapl:0": ["psys", 9, 100],
        "intel-rapl:1": ["package-0", 1, 100],
        "intel-rapl:1:0": ["dram", 2, 100],
        "intel-rapl-mmio:0": ["package-0", 3, 100],
        "intel-rapl-mmio:0:0": ["dram", 4, 100],
    }
    flat = build(tmp_path, {"zones": zones})
    assert rapl.read(rapl.zones(flat, "Intel")) == {"rapl:package-0": 1, "rapl:dram-0": 2}
    for zone in ("intel-rapl:1", "intel-rapl:1:0"):
        (flat / zone / "energy_uj").unlink()
    assert rapl.read(rapl.zones(flat, "Intel")) == {"rapl:package-0": 3, "rapl:dram-0": 4}
    assert rapl.zones(tmp_path / "nothing", "Intel") == {}


def test_since_linux_5_10_only_root_reads_them() -> None:
    facts = MACHINES["rapl"]["i5-13500, a desktop"]
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        flat = build(Path(folder), facts, MACHINES["modes"])
        with as_a_user():
            if os.geteuid() != NOBODY:  # the tree is this user's own: what root's is to others
                for path in flat.glob("*/energy_uj"):
                    path.chmod(0)
            assert (flat / "intel-rapl:0" / "name").read_text() == "package-0\n"
            assert rapl.zones(flat, facts["cpu"]) == {}
            assert SystemCounters(flat).read().energy_uj == {}


def test_half_of_the_sockets_is_no_measurement(tmp_path: Path) -> None:
    facts = MACHINES["rapl"]["xeon, four sockets, numbered backwards"]
    flat = build(tmp_path, facts)
    (flat / "intel-rapl:1" / "energy_uj").unlink()
    found = rapl.zones(flat, facts["cpu"])
    assert sorted(found) == [f"rapl:dram-{n}" for n in range(4)]
    (flat / "intel-rapl:2:0" / "energy_uj").unlink()
    assert rapl.read(found) == {}  # one that fails later, too: no stage fails for it
    assert rapl.zones(flat, facts["cpu"]) == {}


def test_a_counter_that_wraps_between_two_readings_and_one_that_was_reset() -> None:
    facts = MACHINES["wrap"]
    before, after = (round(units * facts["uj_per_unit"]) for units in facts["units"])
    grown = rapl.counted(before, after, facts["max_energy_range_uj"], facts["seconds"] * 1_000_000)
    units = 2**32 - facts["units"][0] + facts["units"][1]
    assert grown == pytest.approx(units * facts["uj_per_unit"], abs=facts["uj_per_unit"])
    assert 1 < grown / 60e6 < 3  # watts
    # A sleep to RAM sets it to zero: 62 kJ in a second would be 62 kW.
    assert rapl.counted(200_000_000_000, 5_000_000, 262_143_328_850, 1_000_000) == 5_000_000
    assert rapl.counted(262_143_000_000, 5_000_000, 262_143_328_850, 1_000_000) == 5_328_850
    assert rapl.counted(262_143_328_000, 100_000, 262_143_328_850, 200) == 100_850  # two readings in quick succession
    assert rapl.counted(9, 4, None, 1_000_000) == 4  # a GPU's: the driver was loaded anew
    assert rapl.counted(9, 4, 0, 1_000_000) == 4  # a range of 0, as old kernels show


def test_what_an_estimate_stood_in_for_is_not_measured_once_more() -> None:
    """One process may read RAPL, the other may not; they take turns, as those of root and of a user do."""
    world = World(rapl=True)
    world.open(world.fork(2), "stage")
    sources, counted = [], 0
    for allowed in (True, False, True, True):
        world.rapl = allowed
        world.pass_time(1_000_000)
        world.sample()
        sources.append(world.lines[-1]["source"]["cpu"].partition(":")[0])
        counted += world.lines[-1]["host_uj"]["cpu"][1] if sources[-1] == "measured" else 0
    assert sources == ["measured", "estimated", "estimated", "measured"]
    assert counted == 2 * 12_000_000
