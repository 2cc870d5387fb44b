"""Sentences of the five answers."""

from components.stages.account.answer_text import rebuild_sentence
from components.stages.account.answers import NotKnown, RebuildAnswer


def rebuilt_from(commit: str, experiment: str = "", lacking: str = "") -> str:
    fields = {"dvc_lock": "b" * 32, "model": "c" * 32, "command": "greenhouse verify causal"}
    verified = NotKnown(not_known="nobody has rebuilt it")
    answer = RebuildAnswer(commit=commit, verified=verified, experiment=experiment, lacking=lacking, **fields)
    return rebuild_sentence(answer)


def test_a_commit_rebuilds_a_model_unless_tracked_files_differed_from_it() -> None:
    rebuilt = "Commit aaaaaaaaaa with dvc.lock bbbbbbbbbb rebuilds it by greenhouse verify causal;"
    assert rebuilt_from("a" * 40).startswith(rebuilt)
    changed = rebuilt_from("a" * 40 + "+changes")
    assert changed.startswith("Not from a commit: tracked files differed from aaaaaaaaaa (dvc.lock bbbbbbbbbb);")
    assert "rebuilds it" not in changed
    told = rebuilt_from("a" * 40 + "+changes", lacking="code was not committed")
    assert told.startswith("Commit aaaaaaaaaa+changes alone does not rebuild it: code was not committed;")


def test_an_experiment_rebuilds_a_model_though_its_worktree_differs_from_the_commit() -> None:
    """Nothing is to be committed: `dvc exp save` keeps parameters and code in a commit of the experiment's own."""
    said = rebuilt_from("a" * 40 + "+changes", "calm-otter")
    assert said.startswith("DVC experiment calm-otter, which keeps code and parameters (dvc.lock bbbbbbbbbb), rebuilds")
    assert "commit" not in said
