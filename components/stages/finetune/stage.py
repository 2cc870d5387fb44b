"""Fine-tune a pretrained model on a task drawn from the corpus itself.

    instruct   the causal model learns to answer (components/stages/finetune/instruct.py)
    classify   a model learns to tell passages apart (components/stages/finetune/classify.py)
    prefer     the tuned model learns which of two answers is better (components/stages/finetune/preferences.py)
    reinforce  the tuned model learns from rewards of what it writes (components/stages/finetune/reinforcement.py)

Which task is the first of an ordered list that the corpus can feed (task_selection.py); those passed over are named in
the report with the reason. The result is a model folder as any other. Killed and started again on the same `work`, it
goes on from its newest checkpoint and ends with the same bytes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer

from components.core.errors import UserError
from components.core.progress import Progress
from components.core.report import Report
from components.instruction_pairs.examples import Draw, Passage
from components.model import export, generate, lora
from components.model.transformer import Transformer
from components.params import Finetune, Numerics, Optimizer, Reinforce
from components.stages.finetune import adapter, classifier, classify, instruct, preferences, reinforcement
from components.stages.finetune import report as finetune_report
from components.stages.finetune.own_rows import choose_rows, is_corpus
from components.stages.finetune.rewards import Rewards
from components.stages.finetune.task_selection import Branch, Choice, choose
from components.tokens.hub_encoder import AnyEncoder, HubEncoder, encoder_of
from components.training import numerics as floats
from components.training.loop import train as train_loop
from components.training.objectives import language_model_loss
from components.training.train_config import TrainConfig, TrainResult

MOST_HELDOUT = 240
"""Held-out examples judged: they bound an accuracy to about 6 percent."""
CHARS_PER_TOKEN = 4
"""A passage of `context` times this many characters fills the context, in most languages, and is cut there."""
EVALUATIONS = 3
"""Points of the held-out learning curve."""
CURVE = (16, 64, 256)
"""Labels of the learning curve beside the model: as many as show what pretraining is worth (flows/label_efficiency.py
has more, with intervals), and how many steps each of its small trainings takes at most."""
CURVE_STEPS = 50
EXAMPLES = 8
ANSWER_TOKENS = 40
CURRICULUM = {"prefer": preferences.curriculum_pairs, "reinforce": reinforcement.curriculum_problems}
"""Branches that a corpus feeds with its curriculum -> what draws from it."""


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
        branch: `instruct` (base is causal) or `classify`.
        base: model folder of the pipeline, or of `transformers`.
        train: corpus that examples are drawn from, or rows of one's own (own_rows.py).
        heldout: the held-out corpus.
        work: checkpoints, for resuming.

    Raises:
        UserError: the base is of the other kind, or no task can be fed.
        Stopped: `progress` asked for it; a checkpoint has been saved.
    """
    progress = progress or Progress()
    device = floats.configure_torch(numerics)
    model, _, facts = export.load(base, device)
    if branch != "classify" and not model.shape.causal:
        raise UserError(
            f"finetune.{branch}: {base.name} holds no causal model; give the one that pretrain@causal wrote"
        )
    context = min(params.context, model.shape.context)
    tokenizer_json, encoder = export.tokenizer_text(base), encoder_of(base)
    with progress.phase("draw"):
        if is_corpus(train) and branch in CURRICULUM:
            choice = CURRICULUM[branch](train, params)
        elif is_corpus(train):
            draw = Draw(train, heldout, params.max_pairs, MOST_HELDOUT, CHARS_PER_TOKEN * context, params.seed)
            choice = choose(branch, params.task, draw)
        else:
            own = params.model_copy(update={"context": context})
            choice = choose_rows(branch, train, heldout, encoder, own)
    progress.log(f"task {choice.task.name}: {choice.task.title}")
    if context < params.context:
        shorter = (f"The base has {context} positions, so no example has more tokens, though finetune.{branch}.context "
                   f"is {params.context}.")  # fmt: skip
        progress.log(shorter)
        note = f"{choice.examples.note} {shorter}".strip()
        choice = replace(choice, examples=replace(choice.examples, note=note))
    job = _Job(branch, base, train, model, encoder, tokenizer_json, facts, context, params, numerics, choice, progress)
    run = {"instruct": job.tune, "classify": job.teach, "prefer": job.prefer, "reinforce": job.reinforce}[branch]
    report = run(out, reports, work)
    report.write(reports)
    return report


def settings_of(params: Finetune, steps: int, name: str, checkpoint_every: int = 0) -> TrainConfig:
    """Settings of a training of `steps`; `name` is the section in params.yaml, for messages."""
    # Every value that counts, though some are the schema's defaults: no stage depends on a default of the schema.
    rates = Optimizer(
        name="adamw", matrix_lr=params.learning_rate, embedding_lr=params.learning_rate, beta1=0.9, weight_decay=0.01,
        grad_clip=1.0, schedule="linear", warmup=0.1,
    )  # fmt: skip
    return TrainConfig(
        steps=steps,
        optimizer=rates,
        checkpoint_every=checkpoint_every or params.checkpoint_every,
        eval_every=max(1, -(-steps // EVALUATIONS)),
        name=name,
        remedy="lower its learning_rate, or take another base if it happens at the first step",
    )


class _Unseen(Progress):
    """Progress of a training beside the stage's own: it shows nothing, and stops with the stage."""

    def __init__(self, progress: Progress) -> None:
        self.raise_if_stopped = progress.raise_if_stopped  # type: ignore[method-assign]


@dataclass
class _Job:
    """One call of `finetune`, what its branches share."""

    branch: Branch
    base: Path
    data: Path
    model: Transformer
    encoder: AnyEncoder
    tokenizer_json: str
    base_facts: dict[str, Any]
    context: int
    params: Finetune
    numerics: Numerics
    choice: Choice
    progress: Progress

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    @property
    def _unseen(self) -> Progress:
        return _Unseen(self.progress)

    def tune(self, out: Path, reports: Path, work: Path) -> Report:
        """Tune on pairs, judge before and after, save."""
        examples: Any = self.choice.examples
        chat = instruct.Format(self.encoder, self.context, chat=True)
        plain = instruct.Format(self.encoder, self.context, chat=False)
        # A base that may know chats is judged in the better of both forms: anything else would flatter the tuning.
        forms = [plain, chat] if self._is_foreign or self.base_facts.get("task", {}).get("chat") else [plain]
        with self.progress.phase("evaluate"):
            judged = [instruct.judge(self.model, examples.heldout, form, self.numerics) for form in forms]
            before, form = min(zip(judged, forms, strict=True), key=lambda one: float(one[0].bits.sum()))
            answers = [self._answers(examples.heldout[:EXAMPLES], form)]
        self._add_lora(self.model)
        own = [chat(pair, end=False) for pair in examples.heldout]

        def evaluate(step: int) -> dict[str, float]:
            nats = instruct.answer_nats(self.model, own, self.numerics)
            return {"heldout_bits_per_byte": float(nats.sum() / math.log(2) / before.num_bytes.sum())}

        batches: Any
        if self.choice.chats:
            batches = instruct.PackedBatches(self.choice.chats, self.params.batch, self.context, self.params.seed)
        else:
            pairs = instruct.by_length([chat(pair) for pair in examples.train])
            batches = instruct.PairBatches(pairs, self.params.batch, self.context, self.params.seed)
        result = self._train(self.model, batches, language_model_loss, evaluate, work)
        self._merge_lora(self.model, out)
        self.model.eval()
        with self.progress.phase("evaluate"):
            after = instruct.judge(self.model, examples.heldout, chat, self.numerics)
            answers.append(self._answers(examples.heldout[:EXAMPLES], chat))
        example = {"prompt": examples.train[0].prompt, "answer": examples.train[0].answer}  # for `make chat`
        facts = self._facts(result, {"chat": True, "example": example})
        export.save(self.model, self.tokenizer_json, out, facts, self.base if self._is_foreign else None)
        shown = finetune_report.WrittenAnswers(examples.heldout[:EXAMPLES], answers[0], answers[1])
        return finetune_report.instruct(self.choice, result, before, after, shown, self.context, reports)

    def teach(self, out: Path, reports: Path, work: Path) -> Report:
        """Train a head and the backbone on passages, and the same from random weights for comparison; judge, save."""
        examples: Any = self.choice.examples
        labels = examples.labels
        classify.check_classes(examples)
        test_ids = classify.encoded(self.encoder, examples.heldout, self.context)
        model = self._classifier(self.model, len(labels))

        def evaluate(step: int) -> dict[str, float]:
            predicted = classify.predict(model, test_ids, self.numerics).argmax(axis=1)
            right = [guess == passage.label for guess, passage in zip(predicted, examples.heldout, strict=True)]
            return {"heldout_accuracy": sum(right) / len(right)}

        result = self._train(model, self._labelled(examples.train), classify.loss, evaluate, work)
        self._merge_lora(model, out)
        probability = classify.predict(model.eval(), test_ids, self.numerics)
        rules = self._others(examples.train, test_ids, self.params.steps, work / "scratch")
        curve = {len(examples.train): {"this_model": probability.argmax(axis=1)} | rules}
        for count in CURVE:
            if 2 * len(labels) <= count < len(examples.train):
                few, steps = classify.first_of_each(examples.train, count), min(CURVE_STEPS, self.params.steps)
                tuned = self._classifier(export.load(self.base, str(self.device))[0], len(labels))
                self._train(tuned, self._labelled(few), classify.loss, None, work / f"{count}", self._unseen, steps)
                predicted = classify.predict(tuned.eval(), test_ids, self.numerics).argmax(axis=1)
                others = self._others(few, test_ids, steps, work / f"{count}-scratch")
                curve[count] = {"this_model": predicted} | others
        majority = np.bincount([passage.label for passage in examples.train]).argmax()
        facts = self._facts(result, {"labels": labels, "pooling": "last" if self.model.shape.causal else "mean"})
        classifier.save_classifier(
            model, labels, self.tokenizer_json, out, facts, self.base if self._is_foreign else None
        )
        report = finetune_report.classify(
            self.choice, result, probability, rules | {"majority": np.full(len(test_ids), majority)}, curve,
            self.context, reports,
        )  # fmt: skip
        self.progress.log(finetune_report.line_by_labels(report.metrics, sorted(curve)))
        return report

    def _classifier(self, backbone: Transformer, num_labels: int) -> classifier.Classifier:
        """A fresh head on a pretrained backbone, with adapters if they are asked for."""
        model = classifier.Classifier(backbone, num_labels, self.encoder.pad).initialise_head(self.params.seed)
        self._add_lora(backbone)
        return model

    def _labelled(self, passages: Sequence[Passage]) -> classify.PassageBatches:
        """Training batches of passages."""
        ids = classify.encoded(self.encoder, passages, self.context)
        labels = [passage.label for passage in passages]
        return classify.PassageBatches(ids, labels, self.params.batch, self.params.seed, self.encoder.pad)

    def _others(
        self, train: Sequence[Passage], test_ids: list[list[int]], steps: int, work: Path
    ) -> dict[str, np.ndarray]:
        """Classes of held-out passages by what knows the same labels: naive Bayes, and training from random weights."""
        labelled = self._labelled(train)
        fresh = Transformer(self.model.shape).initialise(self.params.seed).to(self.device)
        num_labels = len(self.choice.examples.labels)
        scratch = classifier.Classifier(fresh, num_labels, self.encoder.pad).initialise_head(self.params.seed)
        self._train(scratch, labelled, classify.loss, None, work, self._unseen, steps)
        with self.progress.phase("evaluate"):
            return {
                "naive_bayes": classify.naive_bayes(labelled.ids, labelled.labels, test_ids, self.encoder.vocab_size),
                "from_scratch": classify.predict(scratch.eval(), test_ids, self.numerics).argmax(axis=1),
            }

    def prefer(self, out: Path, reports: Path, work: Path) -> Report:
        """Tune on pairs of a better and a worse answer, judge before and after, save."""
        examples, refused, pad = self.choice.examples, self.choice.refused, self.encoder.pad
        rows: tuple[Any, Any] = examples.train, examples.heldout
        pairs, _ = preferences.encoded(rows[0], self.encoder, self.context, refused)
        tested, places = preferences.encoded(rows[1], self.encoder, self.context, refused)
        preferences.refuse_same(Path(self.params.data), pairs, tested, refused)
        pairs.sort(key=len)
        prompts, shown = [pair.prompt for pair in tested[:EXAMPLES]], [rows[1][place] for place in places]
        with self.progress.phase("evaluate"):
            reference_N2, before_N2 = (
                preferences.all_log_probabilities(self.model, some, self.numerics, pad) for some in (pairs, tested)
            )
            answers = [self._written(prompts)]
        self._add_lora(self.model)

        def evaluate(step: int) -> dict[str, float]:
            after_N2 = preferences.all_log_probabilities(self.model, tested, self.numerics, pad)
            return {"heldout_accuracy": float(preferences.wins(after_N2.numpy()).mean())}

        batches = preferences.PreferenceBatches(pairs, reference_N2, self.params.batch, self.params.seed, pad)
        beta = float(getattr(self.params, "beta"))  # noqa: B009 - of this branch alone
        result = self._train(self.model, batches, preferences.DPOLoss(beta), evaluate, work)
        self._merge_lora(self.model, out)
        self.model.eval()
        with self.progress.phase("evaluate"):
            after_N2 = preferences.all_log_probabilities(self.model, tested, self.numerics, pad)
            answers.append(self._written(prompts))
        example = {"prompt": shown[0].prompt[-1].content, "answer": shown[0].chosen}
        facts = self._facts(result, {"chat": True, "example": example})
        export.save(self.model, self.tokenizer_json, out, facts, self.base if self._is_foreign else None)
        scores = finetune_report.PreferenceScores(shown, before_N2.numpy(), after_N2.numpy(), beta, len(pairs))
        return finetune_report.prefer(self.choice, result, scores, answers, self.context, reports)

    def reinforce(self, out: Path, reports: Path, work: Path) -> Report:
        """Tune on rewards of completions, judge before and after, save."""
        examples, params, refused = self.choice.examples, self.params, self.choice.refused
        assert isinstance(params, Reinforce)
        data = Path(params.data)
        problems, tested = (
            reinforcement.encoded(rows, self.encoder, self.context, params.max_tokens, refused)
            for rows in (examples.train, examples.heldout)
        )
        problems.sort(key=len)
        with Rewards(self.data) as rewards:
            tokenizer = Tokenizer.from_str(self.tokenizer_json)
            sampler = reinforcement.Sampler(tokenizer, self.encoder.stops, rewards, params.max_tokens)
            with self.progress.phase("evaluate"):
                reinforcement.check(data, sampler, self.model, problems, tested, refused)
                _, written, before = sampler(self.model, tested)
            self._add_lora(self.model)

            def evaluate(step: int) -> dict[str, float]:
                return {"heldout_reward": float(np.mean(sampler(self.model, tested)[2]))}

            batches = reinforcement.GroupBatches(
                self.model, problems, sampler, params, self.numerics, work / "completions", self.progress
            )
            loss = reinforcement.GRPOLoss(params.clip, params.kl_weight, params.temperature)
            result = self._train(self.model, batches, loss, evaluate, work)
            self._merge_lora(self.model, out)
            self.model.eval()
            with self.progress.phase("evaluate"):
                _, rewritten, after = sampler(self.model, tested)
        pairs = [one.pair for one in tested]
        facts = self._facts(result, {"chat": True, "example": {"prompt": pairs[0].prompt, "answer": pairs[0].answer}})
        export.save(self.model, self.tokenizer_json, out, facts, self.base if self._is_foreign else None)
        shown = finetune_report.WrittenAnswers(pairs, written, rewritten)
        history = batches.history(len(result.losses))
        choice = replace(self.choice, examples=replace(examples, train=[one.pair for one in problems]))
        return finetune_report.reinforce(choice, result, before, after, history, shown, self.context, reports)

    @property
    def _is_foreign(self) -> bool:
        """Whether the base has a tokenizer that was not made here."""
        return isinstance(self.encoder, HubEncoder)

    def _add_lora(self, model: Transformer) -> None:
        params = self.params
        if params.lora_rank:
            lora.add_lora(
                model, params.lora_rank, params.seed, params.lora_alpha, params.lora_targets, params.lora_dora
            )

    def _merge_lora(self, model: Any, out: Path) -> None:
        """Save the adapters, if there are any, and fold them into the model: what reads `out` needs a whole one."""
        if not self.params.lora_rank:
            return
        head = model.head() if isinstance(model, classifier.Classifier) else None
        task = {"name": self.choice.task.name, "branch": self.branch, "chat": self.branch != "classify"}
        adapter.save(model, self.base, self.params.base, out / "adapter", head, {"task": task})
        lora.merge_lora(model)

    def _train(
        self, model: Any, batches: Any, objective: Any, evaluate: Any, work: Path, progress: Progress | None = None,
        steps: int = 0,
    ) -> TrainResult:  # fmt: skip
        settings = settings_of(self.params, steps or self.params.steps, f"finetune.{self.branch}")
        with self.progress.phase("train"):
            return train_loop(
                model,
                batches,
                objective,
                settings,
                work / "checkpoints",
                progress or self.progress,
                numerics=self.numerics,
                tokenizer_json=self.tokenizer_json,
                evaluate=evaluate,
            )

    def _facts(self, result: TrainResult, more: dict[str, Any]) -> dict[str, Any]:
        """Facts of the fine-tuning for greenhouse.json, added to the base model's."""
        task = {"name": self.choice.task.name, "title": self.choice.task.title, "branch": self.branch} | more
        tuning: dict[str, Any] = {"steps": len(result.losses), "examples": self.params.batch * len(result.losses)}
        tuning["lora_rank"] = self.params.lora_rank
        tuning |= {"lora_dora": True} if self.params.lora_dora else {}
        tuning |= {"base": self.base.name} if self._is_foreign else {}
        tuning |= {"rows": self.choice.rows} if self.choice.rows else {}
        return self.base_facts | {"task": task, "finetuning": tuning}

    def _answers(self, pairs: Any, form: instruct.Format) -> list[str]:
        """The model's own answers to prompts of a form."""
        room = self.context - min(ANSWER_TOKENS, self.context // 3)
        texts = self._written([form.prompt(pair, room) for pair in pairs])
        return texts if form.chat else [text.split("\n")[0] for text in texts]

    def _written(self, prompts: list[list[int]]) -> list[str]:
        """What the model writes after prompts, greedily."""
        tokenizer, most = Tokenizer.from_str(self.tokenizer_json), min(ANSWER_TOKENS, self.context // 3)
        settings: Any = {"max_tokens": most, "seed": self.params.seed, "stop_ids": self.encoder.stops}
        return [generate.generate(self.model, tokenizer, ids, **settings)[0] for ids in prompts]
