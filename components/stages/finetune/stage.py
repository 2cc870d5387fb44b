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
from components.stages.finetune.job import Job
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
        train: corpus that examples are drawn from, or rows of one's own.
        heldout: the held-out corpus.
        work: checkpoints, for resuming.

    Raises:
        UserError: the base is of the other kind, or no task can be fed; or a training process was lost, and the next
            call resumes.
        Stopped: `progress` asked for it; a checkpoint has been saved.
    """
    job = Job(branch, base, train, heldout, params, numerics, progress or Progress())
    run = {"instruct": job.tune, "classify": job.teach, "prefer": job.prefer}[branch]
    report = run(out, reports, work)
    report.write(reports)
    return report


def _work(branch: Branch, params: dict[str, Any], numerics: dict[str, Any], work: str, **paths: str) -> None:
    settings = getattr(FinetuneBranches.model_validate({branch: params}), branch)
    base, train, heldout = (Path(paths[name]) for name in ("base", "train", "heldout"))
    Job(branch, base, train, heldout, settings, Numerics(**numerics), Progress()).train_along(Path(work))


if __name__ == "__main__":
    assert "RANK" in os.environ, "workers are started by data_parallel.process_group"
    with as_worker():
        _work(**json.loads(sys.argv[1]))
