"""One sentence in place of a traceback where a package is missing: mostly, Python is not that of the environment.

Standard library alone, for this is imported first.
"""

import sys
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).resolve().parents[2]
OWN = ("flows", "components", "greenhouse_record", "benchmarks", "tests")
"""Our own packages: one that is missing is a mistake in Greenhouse, and keeps its traceback."""


def sentence(missing: str, root: Path = ROOT) -> str:
    """Sentence on the missing package, for which Python, and what to do in the checkout `root`."""
    python = root / ".venv" / "bin" / "python"
    if not python.exists():
        todo = f"`make setup` in {root} makes an environment with it, {python}"
    elif sys.prefix == str(root / ".venv"):
        todo = f"`make setup` in {root} installs what is missing"
    else:
        todo = f"use that of this checkout: {python}"
    return f"{missing} is not installed for {sys.executable}; {todo}"


def report_missing_packages() -> None:
    """Have this process end with that sentence, instead of a traceback, where a package of others is missing."""
    others = sys.excepthook

    def report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        name = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
        if name and name not in OWN:
            print(sentence(name), file=sys.stderr)
        else:
            others(kind, error, trace)

    sys.excepthook = report
