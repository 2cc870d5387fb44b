"""The mix stage as a Prefect flow; `python -m flows.mix` has DVC reproduce it."""

from components.core.report import Report
from components.params import Mix
from flows.execution.stage import Place, Stage
from flows.execution.stage_process import State, flow, main, run_as_flow


def call(place: Place, branch: str) -> Report:
    """Run the stage function on the stage's inputs."""
    from components.stages.mix.stage import mix as mix_sources

    return mix_sources(train=place.root / "data/bias/train", params=place.params.mix, **place.data)


STAGE = Stage("mix", call)


@flow(name="mix")
def mix(params: Mix | None = None, params_hash: str = "") -> State:
    """Weigh the sources; add the generated curriculum and the canaries, counted apart.

    Args:
        params: the stage's section of params.yaml; changed values make an experiment.
        params_hash: leave it as it is: it shows which params.yaml the form was filled from.
    """
    return run_as_flow(STAGE, "", params, params_hash)


if __name__ == "__main__":
    main(STAGE, mix)
