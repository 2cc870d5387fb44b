"""The filter stage; `python -m flows.filter` has DVC reproduce it."""

from components.core.report import Report
from components.params import Filter, Params
from flows.execution.stage import Stage, StageContext
from flows.execution.stage_process import run_stage
from flows.system import paths


def call(context: StageContext, branch: str) -> Report:
    """Score every document, drop what lies outside the limits, redact personal data."""
    from components.stages.filter.stage import filter_corpus

    return filter_corpus(
        train=context.root / "data/dedup/train",
        params=context.params.filter,
        heldout=context.root / "data/ingest/heldout",
        items=context.root / context.params.filter.decontaminate.items,
        **context.data,
    )


def dry_run(params: Params) -> str:
    """Rule by rule, what the limits would drop of the corpus that lies there, with examples; personal data."""
    from components.stages.filter.dry_run import dry_run as would_drop

    return would_drop(
        paths.ROOT / "data/dedup/train",
        params.filter,
        params.runtime.workers,
        heldout=paths.ROOT / "data/ingest/heldout",
        items=paths.ROOT / params.filter.decontaminate.items,
    )


STAGE = Stage("filter", Filter, call, dry_run=dry_run)


if __name__ == "__main__":
    run_stage(STAGE)
