"""The dedup stage; `python -m flows.dedup` has DVC reproduce it."""

from components.core.report import Report
from components.params import Dedup
from flows.execution.stage import Stage, StageContext
from flows.execution.stage_process import run_stage


def call(context: StageContext, branch: str) -> Report:
    """Remove exact and near duplicates; which copy is kept is a rule, and what goes is kept aside with its reason."""
    from components.stages.dedup.stage import dedup as remove_duplicates

    ingested = context.root / "data/ingest"
    return remove_duplicates(
        train=ingested / "train", heldout=ingested / "heldout", params=context.params.dedup, **context.data
    )


STAGE = Stage("dedup", Dedup, call)


if __name__ == "__main__":
    run_stage(STAGE)
