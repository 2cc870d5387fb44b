"""The mix stage; `python -m flows.mix` has DVC reproduce it."""

from components.core.report import Report
from components.params import Mix
from flows.execution.stage import Stage, StageContext
from flows.execution.stage_process import run_stage


def call(context: StageContext, branch: str) -> Report:
    """Weigh the sources; add the generated curriculum and the canaries, counted apart."""
    from components.stages.mix.stage import mix as mix_sources

    return mix_sources(train=context.root / "data/bias/train", params=context.params.mix, **context.data)


STAGE = Stage("mix", Mix, call)


if __name__ == "__main__":
    run_stage(STAGE)
