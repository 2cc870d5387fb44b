"""The tokenize stage; `python -m flows.tokenize` has DVC reproduce it."""

from components.core.report import Report
from components.params import Tokenize
from flows.execution.stage import Stage, StageContext
from flows.execution.stage_process import run_stage


def call(context: StageContext, branch: str) -> Report:
    """Train a byte-level BPE on the training text and encode the corpus into memory-mapped shards of token ids."""
    from components.stages.tokenize.stage import tokenize as encode

    return encode(
        train=context.root / "data/mix/train",
        heldout=context.root / "data/ingest/heldout",
        params=context.params.tokenize,
        threads=context.params.runtime.workers,
        **context.common,
    )


STAGE = Stage("tokenize", Tokenize, call)


if __name__ == "__main__":
    run_stage(STAGE)
