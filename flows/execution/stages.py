"""The stages: a table of what each is called, takes, calls and leaves.

`STAGES` is what a process of a stage, the forms and the record know of them; dvc.yaml wires them. A
stage of the user's own stands in dvc.yaml alone. Each function below is a stage's `call`: it hands
the stage function in `components/` its inputs, its section of the parameters, and where to write.
"""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Literal, get_args

from components import params as schema
from components.core.errors import UserError
from components.core.plain_text import plain
from components.core.progress import Progress
from components.core.report import Report
from components.params import FURTHER, Branch, Params
from flows.execution.stage import Stage, StageContext
from flows.system import dvc, paths, processes
from flows.system.run_folder import own_run


def ingest(context: StageContext, branch: str) -> Report:
    """Read the sources, keep provenance, quarantine bad records, cut the held-out set by group."""
    from components.stages.ingest.stage import ingest as ingest_sources

    return ingest_sources(root=context.root, params=context.params.ingest, **context.data)


def ingest_dry_run(params: Params) -> str:
    """What the sources hold: counts, what would be left out and why, a few documents.

    Raises:
        UserError: a run would end at once.
    """
    from components.stages.ingest.stage import dry_run as read_only

    work = paths.WORK / "ingest" / "dry-run"
    sample, problem = read_only(
        root=paths.ROOT, params=params.ingest, work=work, workers=params.runtime.workers, progress=Progress()
    )
    if problem:
        print(plain(sample))
        raise UserError(problem)
    return sample


def dedup(context: StageContext, branch: str) -> Report:
    """Remove exact and near duplicates; which copy is kept is a rule, and what goes is kept aside with its reason."""
    from components.stages.dedup.stage import dedup as remove_duplicates

    ingested = context.root / "data/ingest"
    return remove_duplicates(
        train=ingested / "train", heldout=ingested / "heldout", params=context.params.dedup, **context.data
    )


def filter_(context: StageContext, branch: str) -> Report:
    """Score every document, drop what lies outside the limits, redact personal data."""
    from components.stages.filter.stage import filter_corpus

    return filter_corpus(
        train=context.root / "data/dedup/train",
        params=context.params.filter,
        heldout=context.root / "data/ingest/heldout",
        items=context.root / context.params.filter.decontaminate.items,
        **context.data,
    )


def filter_dry_run(params: Params) -> str:
    """What each source would lose, by a sample of the corpus that dedup left, with examples."""
    from flows.planning import preview

    return preview.of_corpus(paths.ROOT / "data/dedup/train", params)


def bias(context: StageContext, branch: str) -> Report:
    """Measure mentions and toxicity per group and source, filter on masked scores, audit the filter."""
    from components.stages.bias.stage import filter_bias

    return filter_bias(train=context.root / "data/filter/train", params=context.params.bias, **context.data)


def mix(context: StageContext, branch: str) -> Report:
    """Weigh the sources; add the generated curriculum and the canaries, counted apart."""
    from components.stages.mix.stage import mix as mix_sources

    return mix_sources(train=context.root / "data/bias/train", params=context.params.mix, **context.data)


def tokenize(context: StageContext, branch: str) -> Report:
    """Train a byte-level BPE on the training text and encode the corpus into memory-mapped shards of token ids."""
    from components.stages.tokenize.stage import tokenize as encode

    return encode(
        train=context.root / "data/mix/train",
        heldout=context.root / "data/ingest/heldout",
        params=context.params.tokenize,
        threads=context.params.runtime.workers,
        **context.common,
    )


def pretrain(context: StageContext, branch: Literal["causal", "masked"]) -> Report:
    """Pretrain the causal and the masked model on the same tokens."""
    from components.core.files import move
    from components.stages.pretrain.stage import pretrain as train_model
    from flows.execution import torchrun

    if torchrun.UNDER_TORCHRUN:
        torchrun.begin(f"pretrain@{branch}", context.work.name)
    report = train_model(
        objective=branch,
        tokens=context.root / "data/tokenize",
        params=getattr(context.params.pretrain, branch),
        numerics=context.params.numerics,
        kept=context.work / "kept",
        work_path=context.params.runtime.work_path,
        **context.common,
    )
    move(context.work / "kept", context.root / "models" / "checkpoints" / branch)
    return report


def finetune(context: StageContext, branch: Branch) -> Report:
    """Fine-tune: instructions, classification, preferences."""
    from components.stages.finetune.stage import finetune as tune

    params = getattr(context.params.finetune, branch)
    return tune(
        branch=branch,
        base=context.root / params.base,
        train=context.root / params.data,
        heldout=context.root / "data/ingest/heldout",
        params=params,
        numerics=context.params.numerics,
        **context.common,
    )


def evaluate(context: StageContext, branch: str) -> Report:
    """Score the models, each score beside the best trivial rule on the same items."""
    from components.stages.evaluate.stage import evaluate as examine
    from components.stages.evaluate.tasks.task import Tuned

    models, stages = context.root / "models", context.params.finetune.stages()
    for branch_off in set(FURTHER) - set(stages):
        remove_branch(context.root, branch_off)
    return examine(
        causal=models / "pretrain/causal",
        masked=models / "pretrain/masked",
        instruct=models / "finetune/instruct",
        classify=models / "finetune/classify",
        further={
            name: Tuned(models / "finetune" / name, context.root / stages[name].base)
            for name in FURTHER
            if name in stages
        },
        mix=context.root / "data/mix",
        heldout=context.root / "data/ingest/heldout",
        tokens=context.root / "data/tokenize",
        params=context.params.evaluate,
        numerics=context.params.numerics,
        reports=context.reports,
        work=context.work,
        workers=context.params.runtime.workers,
        progress=context.progress,
    )


def remove_branch(root: Path, branch: str) -> None:
    """Remove what a branch of fine-tuning left before params.yaml lost it: DVC would leave it among our inputs."""
    for folder in (f"models/finetune/{branch}", f"reports/finetune/{branch}"):
        shutil.rmtree(root / folder, ignore_errors=True)


def account(context: StageContext, branch: str) -> Report:
    """Summarise and account: the table, the report, model cards, energy and carbon."""
    if "GREENHOUSE_RUN" not in os.environ:  # else the pipeline, which has MLflow, did so
        command = [sys.executable, "-m", "flows.champions"]
        variables = os.environ | {"GREENHOUSE_RUN": own_run().name}
        ends = processes.dies_with_parent(signal.SIGKILL)
        subprocess.run(command, cwd=paths.ROOT, env=variables, check=False, preexec_fn=ends)
    report = refresh(context.params, context.progress)
    report.facts = {}
    report.write(context.reports)
    return report


def refresh(params: Params, progress: Progress | None = None) -> Report:
    """Write the summary, the report and the cards anew from what lies in the checkout and the ledger."""
    from components.stages.account.stage import account as write_books
    from components.stages.account.summary import MODELS
    from flows.tracking.model_origin import origin
    from flows.tracking.seed_runs import paragraphs
    from flows.tracking.snapshots import find

    now = find("workspace") if (paths.ROOT / "dvc.lock").exists() else None
    return write_books(
        root=paths.ROOT,
        ledger_folder=paths.LEDGER,
        params=params,
        fingerprints=dvc.fingerprints(),
        origins={model: origin(now, model) for model in MODELS} if now else {},
        judgements=paragraphs(now, params.promote.rules) if now else {},
        progress=progress,
    )


WRITTEN = (
    "summary.json", "summary.md", "report.html", "energy.png", "forecast.png", "loss_per_gram.png", "scores.png",
    "scores-narrow.png", "cards", "data.md",
)  # fmt: skip
"""What `account` leaves in reports/ that no other stage does."""

STAGES = {
    stage.name: stage
    for stage in (
        Stage("ingest", schema.Ingest, ingest, dry_run=ingest_dry_run),
        Stage("dedup", schema.Dedup, dedup),
        Stage("filter", schema.Filter, filter_, dry_run=filter_dry_run),
        Stage("bias", schema.Bias, bias),
        Stage("mix", schema.Mix, mix),
        Stage("tokenize", schema.Tokenize, tokenize),
        Stage("pretrain", schema.PretrainBranches, pretrain, folder="models", branches=("causal", "masked")),
        Stage("finetune", schema.FinetuneBranches, finetune, folder="models", branches=get_args(Branch)),
        Stage("evaluate", schema.Evaluate, evaluate, folder=""),
        Stage("account", schema.Account, account, folder="", artifacts=tuple(f"reports/{name}" for name in WRITTEN)),
    )
}
"""The stages by name, without branch, in the order of the pipeline."""
