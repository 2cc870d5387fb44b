"""The bias stage; `python -m flows.bias` has DVC reproduce it."""

from components.core.report import Report
from components.params import Bias
from flows.execution.stage import Stage, StageContext
from flows.execution.stage_process import run_stage


def call(context: StageContext, branch: str) -> Report:
    """Measure mentions and toxicity per group and source, filter on masked scores, audit the filter."""
    from components.stages.bias.stage import filter_bias

    return filter_bias(train=context.root / "data/filter/train", params=context.params.bias, **context.data)


STAGE = Stage("bias", Bias, call)


if __name__ == "__main__":
    run_stage(STAGE)
