"""Run the ingest stage for a test, the way the flow does: empty folders for data and reports, one for work."""

import hashlib
from pathlib import Path

from components.core.progress import Progress
from components.core.report import Report
from components.params import Files, Ingest
from components.stages.ingest.stage import ingest


def run_ingest(
    settings: Ingest, tmp_path: Path, name: str = "run", workers: int = 1, progress: Progress | None = None
) -> tuple[Report, Path]:
    """Run the stage with `settings`; its report, and the folder that holds `data` and `reports`."""
    out = tmp_path / name
    (out / "data").mkdir(parents=True)
    (tmp_path / settings.opt_out).touch()
    report = ingest(
        root=tmp_path,
        params=settings,
        out=out / "data",
        reports=out / "reports",
        work=tmp_path / f"{name}-work",
        workers=workers,
        progress=progress or Progress(),
    )
    return report, out


def run_on_files(
    folder: Path,
    tmp_path: Path,
    name: str = "run",
    workers: int = 1,
    source: dict | None = None,
    progress: Progress | None = None,
    **params: object,
) -> tuple[Report, Path]:
    """Run the stage on a folder or file, with fields of the source and of the stage."""
    options: dict = {"max_quarantine": 1.0, "max_chars": 2000, "watch": str(folder)} | params
    settings = Ingest(sources=[Files(path=str(folder), **(source or {}))], **options)
    return run_ingest(settings, tmp_path, name, workers, progress)


def hashes(folder: Path) -> dict[str, str]:
    """The sha256 of every file under a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
