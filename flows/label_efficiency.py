"""Worth of pretraining in labels: accuracy against the number of labels, with the models just made."""

from functools import partial
from pathlib import Path

from components.core.errors import UserError
from components.params import LabelEfficiency, Params
from flows.execution.stage import Study
from flows.execution.study_run import carry_out, require
from flows.system import dvc, paths

INPUTS = ("models/pretrain/causal", "models/pretrain/masked", "data/bias/train", "data/ingest/heldout")
REPORTS = paths.ROOT / "reports" / "label_efficiency"


def run_study(name: str, params: Params, settings: LabelEfficiency) -> Path:
    """Accuracy by number of labels: pretrained, from scratch and TF-IDF; masked or causal; LoRA or all weights.

    Raises:
        UserError: the classifier is tuned on rows, or from a base, of one's own.
    """
    from components.studies.label_efficiency.points import LabelStudy

    require(INPUTS, "greenhouse run")
    classify = params.finetune.classify
    if classify.data != "data/bias/train" or classify.base != "models/pretrain/masked":
        raise UserError(
            "finetune.classify is set to rows or a base of your own; this study draws labels from the corpus, for the "
            "pipeline's models: set its data to data/bias/train and its base to models/pretrain/masked"
        )
    chosen = {"label_efficiency": settings, "finetune.classify": classify, "numerics": params.numerics}
    made_from = [dvc.inputs(stage).hashes for stage in ("finetune@classify", "finetune@instruct")]
    bases = [
        f"{base} {dvc.hash_of(f'pretrain@{base}', f'models/pretrain/{base}')[:8]}" for base in ("masked", "causal")
    ]
    study = partial(LabelStudy, settings, classify=classify, bases=bases)
    return carry_out(STUDY, name, params, chosen, made_from, study, REPORTS)


STUDY = Study("label_efficiency", LabelEfficiency, "What pretraining is worth, in labels", run_study)
