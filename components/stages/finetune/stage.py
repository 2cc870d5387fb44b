"""Fine-tune a pretrained model on a task drawn from the corpus itself.

    instruct   the causal model learns to answer (components/stages/finetune/instruct.py)
    classify   a model learns to tell passages apart (components/stages/finetune/classify.py)
    prefer     the tuned model learns which of two answers is better (components/stages/finetune/preferences.py)

Which task is the first of an ordered list that the corpus can feed (task_selection.py); those passed over are named in
the report with the reason. The result is a model folder as any other. Killed and started again on the same `work`, it
goes on from its newest checkpoint and ends with the same bytes.
"""

from pathlib import Path

from components.core.progress import Progress
from components.core.report import Report
from components.params import Finetune, Numerics
from components.stages.finetune import worker
from components.stages.finetune.job import opened
from components.stages.finetune.task_selection import Branch
from components.training import data_parallel


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
    place: data_parallel.Place | None = None,
) -> Report:
    """Fine-tune the model in `base` and write the result to `out`; see the module docstring.

    Args:
        branch: one of the three; the base must be causal for all but `classify`.
        base: model folder of the pipeline, or of `transformers`.
        train: corpus that examples are drawn from, or rows of one's own (own_rows.py).
        heldout: the held-out corpus.
        work: checkpoints, for resuming.
        place: where the training processes other than this one run, of this machine by default; never changes a byte.

    Raises:
        UserError: the base is of the other kind, or no task can be fed; or a training process was lost, and the next
            call resumes.
        Stopped: `progress` asked for it; a checkpoint has been saved.
    """
    job = opened(branch, base, train, heldout, params, numerics, progress or Progress())
    job.place = place or job.place
    job.worker = worker.arguments(branch, base, train, heldout, params, numerics, work)
    run = {"instruct": job.tune, "classify": job.teach, "prefer": job.prefer}[branch]
    report = run(out, reports, work)
    report.write(reports)
    return report
