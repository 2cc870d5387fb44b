"""The ingest stage; `python -m flows.ingest` has DVC reproduce it."""

from components.core.errors import UserError
from components.core.plain_text import plain
from components.core.progress import Progress
from components.core.report import Report
from components.params import Ingest, Params
from flows.execution.stage import Stage, StageContext
from flows.execution.stage_process import run_stage
from flows.system import paths


def call(context: StageContext, branch: str) -> Report:
    """Read the sources, keep provenance, quarantine bad records, cut the held-out set by group."""
    from components.stages.ingest.stage import ingest as ingest_sources

    return ingest_sources(root=context.root, params=context.params.ingest, **context.data)


def dry_run(params: Params) -> str:
    """What the sources hold: counts, what would be left out and why, a few documents.

    Raises:
        UserError: a run would end at once.
    """
    from components.stages.ingest.stage import dry_run as read_only

    work = paths.WORK / "ingest" / "dry-run"
    sample = read_only(
        root=paths.ROOT, params=params.ingest, work=work, workers=params.runtime.workers, progress=Progress()
    )
    if sample.problem:
        print(plain(sample.markdown))
        raise UserError(sample.problem)
    return sample.markdown


STAGE = Stage("ingest", Ingest, call, dry_run=dry_run)


if __name__ == "__main__":
    run_stage(STAGE)
