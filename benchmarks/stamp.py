"""When, where and at which commit a figure was measured: its stamp, `{"commit", "date", "machine"}`.

Every goal and every result keeps its own, since parts of a benchmark are measured again alone.
"""

import platform
import re
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import psutil

from greenhouse_record.metering.counters import cpu_model

Stamp = dict[str, str]
KEYS = ("machine", "date", "commit")
SAME_EVERYWHERE = re.compile(r", Python [0-9.]+, Linux$")
"""What a sentence leaves out; the results keep it."""


def machine() -> str:
    """Processor, cores, memory and Python, in words."""
    memory_gb = psutil.virtual_memory().total / 1e9
    system = f"Python {platform.python_version()}, {platform.system()}"
    return f"{cpu_model()}, {psutil.cpu_count()} threads, {memory_gb:.0f} GB, {system}"


def commit(checkout: Path = Path(__file__).parent) -> str:
    """Commit of a checkout, or of the code that is measured."""
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=checkout, capture_output=True, text=True)
    return done.stdout.strip()


def now() -> Stamp:
    """The stamp of what is measured here and now; the day is that of UTC."""
    return {"commit": commit(), "date": datetime.now(UTC).date().isoformat(), "machine": machine()}


def in_words(stamps: Mapping[str, Mapping[str, str]]) -> str:
    """Markdown that says where figures were measured: one sentence, or a list item per stamp with the figures it is of.

    Args:
        stamps: name of a figure -> its stamp, other keys are passed over.
    """
    names: dict[str, list[str]] = {}
    for name, stamp in stamps.items():
        machine, date, commit = (stamp[key] for key in KEYS)
        machine = SAME_EVERYWHERE.sub("", machine)
        names.setdefault(f"{machine}, {date}, commit {commit[:9]}.", []).append(f"`{name}`")
    if len(names) == 1:
        return f"Measured on {next(iter(names))}"
    rows = [f"- {', '.join(of_stamp)}: {where}" for where, of_stamp in names.items()]
    return "\n".join(["Measured on:", "", *rows])
