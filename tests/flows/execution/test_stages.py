"""The stages' calls: what a branch that is no longer listed left is not among its inputs."""

from pathlib import Path

from flows.execution.stages import remove_branch


def test_what_a_branch_left_that_is_off_goes_and_nothing_else(tmp_path: Path) -> None:
    kept, gone = tmp_path / "models/finetune/instruct/a", tmp_path / "models/finetune/prefer/a"
    for file in (kept, gone):
        file.parent.mkdir(parents=True)
        file.write_text("x")
    gone.chmod(0o444)  # as DVC protects what it links
    remove_branch(tmp_path, "prefer")
    assert kept.exists()
    assert not gone.parent.exists()
