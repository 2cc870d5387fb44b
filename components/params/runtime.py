"""`runtime` in params.yaml, the neutral settings: workers, grid, budgets."""

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from components.params.section import Section


class ProjectBudget(Section):
    """Limits on what the whole project may use; 0 for none."""

    hours: float = Field(default=0.0, ge=0.0)
    """Hours in which something of it ran."""
    kwh: float = Field(default=0.0, ge=0.0)
    """Energy (mid estimate)."""
    grams: float = Field(default=0.0, ge=0.0)
    """Grams CO2e (mid estimate)."""


class Budget(Section):
    """Limits on what a run may use; 0 for none."""

    hours: float = Field(default=0.0, ge=0.0)
    """Wall-clock hours of one pipeline run."""
    kwh: float = Field(default=0.0, ge=0.0)
    """Energy of one pipeline run (mid estimate)."""
    grams: float = Field(default=0.0, ge=0.0)
    """Grams CO2e of one pipeline run (mid estimate)."""
    project: ProjectBudget = ProjectBudget()
    """The same for everything in the ledger: every run, experiment and failure."""


class Grid(Section):
    """Where the electricity comes from."""

    zone: str = "WORLD"
    """ISO 3166 alpha-3 country of the machine, or WORLD. Never guessed from the network."""
    grams_per_kwh: float = Field(default=0.0, ge=0.0)
    """Fixed carbon intensity; 0 looks `zone` up in the shipped table."""
    series: str = ""
    """CSV of hourly intensity (`time` in UTC, `g_per_kwh`); wins over `zone`, not over `grams_per_kwh`."""
    machine: Literal["server", "workstation", "laptop"] = "server"
    """Kind of machine, for the carbon of making it and of cooling it (`metering/constants.json` of the recorder)."""
    pue: float | None = Field(default=None, ge=1.0)
    """Building's energy per energy of the machine, in grams; null: 1, of a server the published range."""


class Runtime(Section):
    """Neutral settings: no test finds a byte that depends on them."""

    workers: int = Field(default=2, ge=1)
    """Processes of the data stages on this machine; threads of the one that encodes."""
    engine: Literal["local", "ray"] = "local"
    """Where data stages work: on this machine, or on a Ray cluster (docs/team.md)."""
    ray_address: str = "auto"
    """The cluster's head (host:port), or auto for the one that runs on this machine."""
    work_path: str = ""
    """s3://bucket/prefix or a shared folder: for the files of a cluster, and copies of pretraining's checkpoints."""
    parallel_stages: int = Field(default=2, ge=1)
    """Stages of the DAG that may run at the same time."""
    meter_interval_s: float = Field(default=1.0, gt=0.0, le=60.0)
    """Seconds between the meter's readings: at most a minute, for a busy processor's counter wraps within four."""
    grid: Grid = Grid()
    """Where the electricity comes from."""
    budget: Budget = Budget()
    """Limits on what a run may use."""
    start_within_hours: float = Field(default=0.0, ge=0.0, le=168.0)
    """From a terminal, wait up to so many hours for the start with the cleanest grid, by its series; 0: at once."""

    @field_validator("work_path")
    @classmethod
    def _same_everywhere(cls, path: str) -> str:
        if path and "://" not in path and not Path(path).is_absolute():
            raise ValueError("must be an address (s3://bucket/prefix) or an absolute path: machines have other folders")
        return path
