"""Run the ingest stage for a test, the way the flow does: empty folders for data and reports, one for work."""

import json
from pathlib import Path

from components.core.progress import Progress
from components.core.report import Report
from components.corpus.corpus import Document, read_corpus
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


def documents(out: Path) -> dict[str, Document]:
    """All kept documents by location."""
    return {one.location: one for part in ("train", "heldout") for one in read_corpus(out / "data" / part)}


def quarantined(out: Path) -> list[dict]:
    """Evidence of the bad records, in order."""
    return [json.loads(line) for line in (out / "data/quarantine/records.jsonl").read_text().splitlines()]


def lines_of(*texts: str, **fields: object) -> str:
    """JSON lines of texts."""
    return "".join(json.dumps({"text": text} | fields) + "\n" for text in texts)
