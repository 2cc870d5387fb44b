"""Pretraining: a model learns a language from token shards, by next-token or masked-word prediction.

Both objectives take the same path: check everything that can be wrong before the first step, train
(loop.py), evaluate on held-out text (report.py), write the model folder and the report. With
`numerics.processes` > 1 this process is rank 0 and starts workers that run
`python -m components.stages.pretrain.stage` (data_parallel.py).
"""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import tokenizers

from components.core.errors import UserError
from components.core.files import sha256_bytes
from components.core.progress import Progress
from components.core.report import Report
from components.model import export
from components.model.generate import generate
from components.model.shape import Shape, derive_shape
from components.model.transformer import Transformer
from components.params import Numerics, Pretrain
from components.stages.pretrain import memory_check, report
from components.stages.pretrain.report import HeldoutEvaluator
from components.tokens.shards import TokenShards
from components.tokens.tokenizer import END_OF_TEXT, SPECIAL_TOKENS, bytes_of_tokens, with_beginning
from components.training import checkpoint, data_parallel, loop
from components.training import numerics as floats
from components.training.data_order import SHORTEST_WARM_UP, PretrainBatches, pretrain_batches
from components.training.forecast import forecast, refuse_beyond
from components.training.lr_schedule import FINAL_WINDOWS, LIVE_WINDOWS
from components.training.mirror import Mirror
from components.training.objectives import language_model_loss
from components.training.train_config import TrainConfig, TrainResult

Objective = Literal["causal", "masked"]

SAMPLE_TOKENS = 24
"""Tokens of the text shown as the model learns."""


@dataclass(frozen=True)
class PretrainInputs:
    """Checked inputs of a pretraining run; `tokenizer_json` is the one that goes with the model."""

    objective: Objective
    params: Pretrain
    numerics: Numerics
    shape: Shape
    train: TokenShards
    heldout: HeldoutEvaluator
    tokenizer_json: str

    @property
    def mask_rate(self) -> float | None:
        return self.params.mask_rate if self.objective == "masked" else None

    @property
    def flops(self) -> float:
        """Floating-point operations of the training: attention in short windows takes fewer."""
        phases = self.batches.phases
        steps = np.diff([*(phase.first for phase in phases), self.params.steps])
        per_token = [replace(self.shape, context=phase.context).flops_per_token for phase in phases]
        return float(steps @ per_token) * self.params.batch * self.params.context

    @property
    def tokenizer(self) -> tokenizers.Tokenizer:
        return tokenizers.Tokenizer.from_str(self.tokenizer_json)

    @property
    def batches(self) -> PretrainBatches:
        params = self.params
        return pretrain_batches(
            self.train,
            context=params.context,
            batch=params.batch,
            seed=params.seed,
            mask_rate=self.mask_rate,
            document_mask=params.document_mask,
            steps=params.steps,
            length_warmup=params.length_warmup,
            length_warmup_from=SHORTEST_WARM_UP,
        )


def pretrain(
    *,
    objective: Objective,
    tokens: Path,
    params: Pretrain,
    numerics: Numerics,
    out: Path,
    reports: Path,
    work: Path,
    kept: Path | None = None,
    work_path: str = "",
    progress: Progress | None = None,
) -> Report:
    """Train a model from random weights.

    Args:
        objective: `causal` or `masked`.
        tokens: what the tokenize stage wrote (tokenizer.json, train/, heldout/).
        params, numerics: the sections of params.yaml.
        out: becomes a model folder (export.py).
        reports: metrics.json, plots (learning curve, attention), details (loss.csv, heldout.csv,
            report).
        work: checkpoints; survives kills, and a second call goes on from them.
        kept: gets the checkpoints that `params.keep_every` names, with the hashes of their files
            (docs/answering.md).
        work_path: where checkpoints are copied to (mirror.py), and taken from if this machine has
            none as new.

    Raises:
        UserError: shards, sizes or settings do not fit each other, and nothing has been trained; or
            a training process was lost, and the next call resumes.
        Stopped: `progress` asked to stop; a checkpoint is saved.

    Returns:
        The report. Under torchrun every process calls this function; only rank 0 evaluates and
        writes, the others return an empty report.
    """
    progress = progress or Progress()
    inputs = prepare(objective, tokens, params, numerics)
    if params.length_warmup:
        progress.log(f"windows of {report.windows(params)}")
    mirror = Mirror.under(work_path, work, progress.log)
    model, result, group = _trained(inputs, tokens, work, progress, mirror)
    if not group.is_main:
        return Report()
    model.eval()
    with progress.phase("examine"):
        scores = inputs.heldout.score(model, FINAL_WINDOWS, progress.raise_if_stopped)
    facts = {
        "training": {
            "steps": params.steps,
            "tokens": params.steps * params.batch * params.context,
            "context": params.context,
            "length_warmup": params.length_warmup,
            "length_warmup_from": SHORTEST_WARM_UP,
            "flops": inputs.flops,
            "seed": params.seed,
            "skipped_batches": result.skipped,
            "tokenizer_sha256": sha256_bytes(inputs.tokenizer_json.encode()),
        },
        "heldout": scores,
    }
    export.save(model, inputs.tokenizer_json, out, facts)
    if kept is not None:
        checkpoint.publish(work, kept, params.keep_every)
    trained = report.Trained(objective, params, model, inputs.heldout, inputs.train, result, scores, inputs.flops)
    return report.write(trained, inputs.tokenizer, reports)


def _trained(
    inputs: PretrainInputs, tokens: Path, work: Path, progress: Progress, mirror: Mirror | None
) -> tuple[Transformer, TrainResult, data_parallel.ProcessGroup]:
    """Train in this process and those it starts."""
    params, numerics = inputs.params, inputs.numerics
    given: dict[str, object] = {"objective": inputs.objective, "tokens": str(tokens), "work": str(work)}
    given |= {"params": params.model_dump(mode="json"), "numerics": numerics.model_dump(mode="json")}
    worker = ["-m", "components.stages.pretrain.stage", json.dumps(given)]

    def train(group: data_parallel.ProcessGroup) -> tuple[Transformer, TrainResult]:
        model = Transformer(inputs.shape).initialise(params.seed, params.initial_scale)
        with progress.phase("train"):
            return model, train_on(inputs, model, work, progress, group, mirror=mirror)

    (model, result), group = data_parallel.train_together(train, numerics, work, worker)
    return model, result, group


def prepare(objective: Objective, tokens: Path, params: Pretrain, numerics: Numerics) -> PretrainInputs:
    """Inputs of the run, opened and checked; sets this process's threads, which the first weights depend on too.

    Of processes that train together, rank 0 alone reads the shards through.

    Raises `UserError`: naming what does not fit.
    """
    is_main = os.environ.get("RANK", "0") == "0"
    floats.configure_torch(numerics)  # first: refuses a device that is not there, which the checks ask about its memory
    tokenizer_json = export.tokenizer_text(tokens)
    train, heldout = (TokenShards.open(tokens / name, intact=not is_main) for name in ("train", "heldout"))
    tokenizer = tokenizers.Tokenizer.from_str(tokenizer_json)
    for shards in (train, heldout) if is_main else ():
        _check_tokenizer(shards, tokenizer_json, tokenizer)
    numerics.raise_if_idle(f"pretrain.{objective}", params.batch)
    shape = derive_shape(params.model, train.manifest.vocab_size, params.context, objective == "causal")
    memory_check.refuse_what_cannot_fit(f"pretrain.{objective}", params, shape, numerics)
    mask_rate = params.mask_rate if objective == "masked" else None
    if heldout.num_tokens < params.context + 1:
        raise UserError(
            f"{heldout.folder}: {heldout.num_tokens} held-out tokens are fewer than one sequence of context "
            f"{params.context}; set pretrain.{objective}.context lower, or ingest.heldout_fraction higher"
        )
    evaluator = HeldoutEvaluator(heldout, bytes_of_tokens(tokenizer), params.context, mask_rate, numerics)
    model_tokenizer = with_beginning(tokenizer_json) if objective == "causal" else tokenizer_json
    inputs = PretrainInputs(objective, params, numerics, shape, train, evaluator, model_tokenizer)
    assert inputs.batches  # refuses a training text shorter than a window
    return inputs


def _check_tokenizer(shards: TokenShards, tokenizer_json: str, tokenizer: tokenizers.Tokenizer) -> None:
    manifest, folder, size = shards.manifest, shards.folder, tokenizer.get_vocab_size()
    if manifest.tokenizer_sha256 != sha256_bytes(tokenizer_json.encode()):
        raise UserError(
            f"{folder}: these shards are of another tokenizer than {folder.parent / 'tokenizer.json'} (the sha256 "
            "in manifest.json differs); run the tokenize stage again"
        )
    if manifest.vocab_size != size:
        raise UserError(
            f"{folder}: manifest.json says {manifest.vocab_size} ids, the tokenizer has {size}; "
            "run the tokenize stage again"
        )
    if (largest := shards.largest_id()) >= size:
        raise UserError(
            f"{folder}: holds token {largest}, and the model has rows for the {size} of its tokenizer; "
            "run the tokenize stage again"
        )


def train_on(
    inputs: PretrainInputs,
    model: Transformer,
    work: Path,
    progress: Progress,
    group: data_parallel.ProcessGroup,
    mirror: Mirror | None = None,
) -> TrainResult:
    params, manifest = inputs.params, inputs.train.manifest
    settings = TrainConfig(
        steps=params.steps,
        optimizer=params.optimizer,
        micro_batch=params.micro_batch,
        context=params.context,
        checkpoint_every=params.checkpoint_every,
        keep_every=params.keep_every,
        keep_best=params.keep_best,
        eval_every=params.eval_every,
        max_rollbacks=params.max_rollbacks,
        bytes_per_token=manifest.num_bytes / manifest.num_tokens if inputs.objective == "causal" else None,
        flops_per_token=inputs.shape.flops_per_token,
        name=f"pretrain.{inputs.objective}",
        smaller=loop.SMALLER.format(f"pretrain.{inputs.objective}"),
    )
    if inputs.numerics.device == "cuda":
        model.to("cuda")
        estimate = forecast(model, inputs.batches, language_model_loss, settings, inputs.numerics)
        refuse_beyond(estimate, settings, inputs.numerics)
    return loop.train(
        model,
        replace(inputs.batches, rank=group.rank, ranks=group.size),
        language_model_loss,
        settings,
        work,
        progress,
        numerics=inputs.numerics,
        tokenizer_json=inputs.tokenizer_json,
        evaluate=_evaluation(inputs, model, progress),
        group=group,
        mirror=mirror,
    )


def _evaluation(inputs: PretrainInputs, model: Transformer, progress: Progress) -> Callable[[int], dict[str, float]]:
    """Evaluation for the loop: held-out scores, which it logs with a sample of generated text."""
    tokenizer = inputs.tokenizer
    prompt = [END_OF_TEXT, *_first_words(inputs.heldout.shards)]

    def evaluate(step: int) -> dict[str, float]:
        scores = inputs.heldout.score(model, LIVE_WINDOWS)
        progress.log_metrics(step, {f"heldout_{name}": value for name, value in scores.items()})
        line = f"step {step}: held out " + ", ".join(f"{name} {value:.3f}" for name, value in scores.items())
        if inputs.objective == "causal":
            text, _, _ = generate(model, tokenizer, prompt, max_tokens=SAMPLE_TOKENS, temperature=0.7, seed=step)
            line += f" | {tokenizer.decode(prompt)}[{text}]".replace("\n", "\\n")
        progress.log(line)
        return scores

    return evaluate


def _first_words(shards: TokenShards, count: int = 8) -> list[int]:
    """A few ordinary tokens of held-out text, to be continued by the model."""
    ids = shards.window(0, min(count + 1, shards.num_tokens))
    return [int(token) for token in ids if token >= len(SPECIAL_TOKENS)][:count]


# -- workers -----------------------------------------------------------------------------------------------------------


def _work(given: dict) -> None:
    tokens, work = Path(given["tokens"]), Path(given["work"])
    inputs = prepare(given["objective"], tokens, Pretrain(**given["params"]), Numerics(**given["numerics"]))
    _trained(inputs, tokens, work, Progress(), None)


if __name__ == "__main__":
    assert "RANK" in os.environ, "workers are started by data_parallel.process_group"
    with data_parallel.as_worker():
        _work(json.loads(sys.argv[1]))
