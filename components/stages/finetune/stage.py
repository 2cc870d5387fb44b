"""Fine-tune a pretrained model on a task drawn from the corpus itself.

    instruct   the causal model learns to answer (components/stages/finetune/instruct.py)
    classify   a model learns to tell passages apart (components/stages/finetune/classify.py)
    prefer     the tuned model learns which of two answers is better (components/stages/finetune/preferences.py)

Which task is the first of an ordered list that the corpus can feed (task_selection.py); those passed over are named in
the report with the reason. The result is a model folder as any other. Killed and started again on the same `work`, it
goes on from its newest checkpoint and ends with the same bytes. Of a training that several processes share, the others
are `python -m components.stages.finetune.stage ARGUMENTS`.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from components.core.progress import Progress
from components.core.report import Report
from components.params import Branch, Finetune, FinetuneBranches, Numerics
from components.stages.finetune.job import opened
from components.training.data_parallel import as_worker


def finetune(
    *,
    branch: Branch,
    base: Path,
    train: Path,
    heldout: Path,
    params: Finetune,
    numerics: Numerics,
    out: Path,
    reports: Path,
    work: Path,
    progress: Progress | None = None,
) -> Report:
    """Fine-tune the model in `base` and write the result to `out`; see the module docstring.

    Args:
        branch: one of the three; the base must be causal for all but `classify`.
        base: model folder of the pipeline, or of `transformers`.
        train: corpus that examples are drawn from, or rows of one's own (own_rows.py).
        heldout: the held-out corpus.
        work: checkpoints, for resuming.

    Raises:
        UserError: the base is of the other kind, or no task can be fed; or a training process was lost, and the next
            call resumes.
        Stopped: `progress` asked for it; a checkpoint has been saved.
    """
    job = opened(branch, base, train, heldout, params, numerics, progress or Progress())
    job.worker = arguments(branch, base, train, heldout, params, numerics, work)
    run = {"instruct": job.tune, "classify": job.teach, "prefer": job.prefer}[branch]
    report = run(out, reports, work)
    report.write(reports)
    return report


def arguments(
    branch: Branch, base: Path, train: Path, heldout: Path, params: Finetune, numerics: Numerics, work: Path
) -> list[str]:
    """Arguments of `python` that start such a process; those of the function are the stage's."""
    paths = {"base": str(base), "train": str(train), "heldout": str(heldout), "work": str(work)}
    settings = {"params": params.model_dump(mode="json"), "numerics": numerics.model_dump(mode="json")}
    return ["-m", "components.stages.finetune.stage", json.dumps({"branch": branch} | paths | settings)]


def _work(task: dict[str, Any]) -> None:
    branch = task["branch"]
    params = type(getattr(FinetuneBranches(), branch))(**task["params"])
    base, train, heldout = (Path(task[name]) for name in ("base", "train", "heldout"))
    numerics = Numerics(**task["numerics"])
    opened(branch, base, train, heldout, params, numerics, Progress()).train_along(Path(task["work"]))


if __name__ == "__main__":
    assert "RANK" in os.environ, "workers are started by data_parallel.process_group"
    with as_worker():
        _work(json.loads(sys.argv[1]))
