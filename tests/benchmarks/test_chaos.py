"""Chaos trials: what is tried is a function of seed and number, and the first ones differ as much as they can."""

from benchmarks import chaos


def test_the_first_trials_of_a_seed_are_of_all_faults_and_a_third_on_pipelines() -> None:
    trials = [chaos.drawn(7, number) for number in range(70)]
    assert trials == [chaos.drawn(7, number) for number in range(70)] != [chaos.drawn(8, n) for n in range(70)]
    assert {trial.fault for trial in trials[: len(chaos.FAULTS)]} == chaos.FAULTS.keys()
    assert {trial.target for trial in trials} >= chaos.TARGETS.keys() - set(chaos.RARE)
    assert 20 <= sum(trial.target in chaos.PIPELINES for trial in trials) <= 28
    for trial in trials:
        assert trial.fault not in chaos.OF_PIPELINES or trial.target in chaos.PIPELINES
        assert trial.target in chaos.ABLE.get(trial.fault, chaos.TARGETS)
