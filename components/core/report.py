"""What a stage gives back, and what it tells while it works.

A stage function returns a `Report`: figures that are the same for the same inputs (never a time, never a joule), and a
short text. It also leaves files under its `reports` folder, always in the same places:

    reports/<stage>/metrics.json      Report.metrics, nested by "/"; `dvc metrics show`, MLflow metrics
    reports/<stage>/plots/            PNG pictures, and CSV or JSON that `dvc plots show` can draw
    reports/<stage>/details/          tables (CSV, JSON, Parquet), examples, report.md (= Report.markdown)

While it works a stage speaks to a `Watch`: progress, live figures, phases. The flow's watch draws the bar, batches to
MLflow and feeds the ledger; `Watch()` itself does nothing, which is what tests and notebooks want.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from components.core.files import rounded, write_json, write_text


@dataclass
class Report:
    """The deterministic result of a stage.

    Attributes:
        metrics: names (`words/with_slashes`) to numbers. Few, and their names mean something: people compare them.
        markdown: a person's summary; shown as Prefect artifact and in MLflow.
        facts: anything JSON the later stages or the summary need that is no metric (a skipped task and why).
    """

    metrics: dict[str, float] = field(default_factory=dict)
    markdown: str = ""
    facts: dict = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write metrics.json, details/report.md and details/facts.json under `folder`; make plots/ and details/."""
        (folder / "plots").mkdir(parents=True, exist_ok=True)
        write_json(folder / "metrics.json", rounded(nested(self.metrics)))
        write_text(folder / "details" / "report.md", self.markdown.rstrip() + "\n")
        write_json(folder / "details" / "facts.json", rounded(self.facts))


def nested(flat: dict[str, float]) -> dict:
    """`{"a/b": 1}` as `{"a": {"b": 1}}`: the form in which `dvc metrics` prints well."""
    tree: dict = {}
    for name, value in flat.items():
        *path, leaf = name.split("/")
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        node[leaf] = value
    return tree


def flat(tree: dict, prefix: str = "") -> dict[str, float]:
    """The reverse of `nested`."""
    result: dict[str, float] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            result |= flat(value, f"{prefix}{name}/")
        else:
            result[prefix + name] = value
    return result


class Watch:
    """Where a stage reports while it works. This one is silent; flows/tracking/progress.py has the one that shows."""

    def progress(self, done: int, total: int | None, unit: str, note: str = "") -> None:
        """`done` of `total` `unit`s (documents, steps, items) are finished; `note` is a few words beside the bar."""

    def figures(self, step: int, values: dict[str, float]) -> None:
        """Live figures of a training run at `step` (loss, bits per byte, tokens per second). Not part of any output."""

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """A named part of the stage (`encode`, `compile`); the ledger meters it as a nested span."""
        yield

    def joules(self) -> float | None:
        """Energy that the stage has used so far (mid estimate, as of the last reading); None if nobody meters it."""
        return None

    def check(self) -> None:
        """Called between steps, when all is saved that resuming needs. Raises `Stopped` if the run should end here."""

    def say(self, text: str) -> None:
        """A line for the log."""
