"""RAPL: the processor's own energy counters, as Linux shows them in /sys/class/powercap.

A tree of zones holds the same energy more than once, and summing it has doubled other tools' figures. What is read:

* packages, and the memory beside them. `core` and `uncore` are parts of a package, `psys` contains all packages.
* each once: `intel-rapl-mmio` shows the packages of `intel-rapl` again, and on AMD each die shows its socket's counter.
* by name, not by number: a four-socket Xeon counts its zones backwards, and `psys` takes a number in between.
* all packages or none: half of the sockets is no measurement of the machine. So for memory.

Since Linux 5.10 (CVE-2020-8694) most systems let only root read the counters; then there are none, and the ledger says
`estimated`. Trees of real machines, with their sources, are in tests/recorder/machines.json.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

MOST_W = 5000
"""No package or its memory draws more: a counter that seems to has been reset, by a sleep to RAM for one."""
DIE = re.compile(r"(package-\d+)-die-[1-9]\d*")


@dataclass(frozen=True)
class Zone:
    """A counter's file, and the microjoules at which it starts again from zero."""

    path: Path
    wrap_uj: int


def zones(powercap: Path, cpu: str) -> dict[str, Zone]:
    """The counters to read, by name: `rapl:package-0`, `rapl:dram-0`.

    Args:
        powercap: the tree's root, where every zone of every interface is a folder or a link to one.
        cpu: the processor's name; AMD's dies are taken once per socket.
    """
    folders = sorted(powercap.glob("intel-rapl*:*"), key=lambda folder: ("mmio" in folder.name, folder.name))
    readable: dict[str, Zone | None] = {}
    for folder in folders:
        name = _name(folder, cpu)
        if name and not readable.get(name):
            readable[name] = _readable(folder)
    lacking = {name.partition("-")[0] for name, zone in readable.items() if zone is None}
    return {f"rapl:{name}": zone for name, zone in readable.items() if zone and name.partition("-")[0] not in lacking}


def read(counters: dict[str, Zone]) -> dict[str, int]:
    """Microjoules by name; of packages, or of memory, none if one cannot be read now."""
    energy: dict[str, int] = {}
    for kind in ("rapl:package", "rapl:dram"):
        try:
            energy |= {name: int(zone.path.read_bytes()) for name, zone in counters.items() if name.startswith(kind)}
        except (OSError, ValueError):
            continue
    return energy


def counted(before: int, now: int, wrap: int | None, dt_us: int) -> int:
    """Growth of a counter since its last reading; wraps at `wrap`, and a reset is zero."""
    if now >= before:
        return now - before
    grown = now - before + (wrap or 0)
    return grown if wrap and 0 <= grown <= MOST_W * (dt_us + 10_000) else now  # it is updated every millisecond or so


def _name(folder: Path, cpu: str) -> str:
    """`package-0`, or `dram-0` for the memory beside it; "" for a zone that is part of another or contains it."""
    kind = text_of(folder / "name")
    if kind == "dram":
        parent = _name(folder.parent / folder.name.rpartition(":")[0], cpu)
        return parent.replace("package", "dram")
    mirrored = "AMD" in cpu and DIE.fullmatch(kind)
    return kind if kind.startswith("package-") and not mirrored else ""


def _readable(folder: Path) -> Zone | None:
    path = folder / "energy_uj"
    try:
        int(path.read_bytes())
        return Zone(path, int((folder / "max_energy_range_uj").read_bytes()))
    except (OSError, ValueError):
        return None


def text_of(path: str | Path) -> str:
    """What a file of the kernel holds; "" if it is not there or may not be read."""
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
