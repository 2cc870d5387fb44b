"""One call of `finetune`: the base and the examples, and what each branch does with them.

Every process of a training makes the same model, and its part of each batch; the stage's own alone
judges and writes.
"""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer

from components.core.errors import UserError
from components.core.files import raise_if_linked_out, read_json, sha256_bytes
from components.core.progress import Progress
from components.core.report import Report
from components.corpus.corpus import read_corpus
from components.counting import labels as counting
from components.counting.registry import key_of, posed
from components.finetuning_data.formats import is_corpus
from components.finetuning_data.rows import Preference
from components.instruction_pairs import taught
from components.instruction_pairs.examples import Examples, Passage, PromptPair, conversation
from components.model import export, generate, hub_model, lora
from components.model.hub_model import HubModel
from components.params import Finetune, Numerics, Prefer
from components.stages.finetune import (
    adapter,
    classification_report,
    classifier,
    classify,
    instruct,
    preferences,
    tfidf,
)
from components.stages.finetune import report as finetune_report
from components.stages.finetune.base_check import origin_of, untrained_warning
from components.stages.finetune.example_selection import select
from components.stages.finetune.report import Judged
from components.stages.finetune.task_selection import Branch, Choice
from components.stages.finetune.training import Batches, Part, settings_of
from components.tokens.hub_encoder import HubEncoder, encoder_of
from components.training import data_parallel
from components.training import numerics as floats
from components.training.forecast import TrainingForecast, forecast, refuse_beyond
from components.training.loop import train as train_loop
from components.training.objectives import language_model_loss
from components.training.train_config import TrainResult

EXAMPLES = 8
UNTAUGHT = "What is a list?"
"""A question of a kind that no tuning row is of."""
ANSWER_TOKENS = 40
HIGH_RATE = 5e-4
"""Learning rate that all weights of a base made elsewhere are warned of."""


class Job:
    """One call of `finetune`: the base and the examples, checked, and what its branches do with them.

    Attributes:
        settings: of its training.
        base_facts: greenhouse.json of the base.
        context: tokens of an example at most: those of the parameters, or of the base if that has
            fewer.

    Raises as `finetune` does.
    """

    def __init__(
        self, branch: Branch, base: Path, train: Path, heldout: Path, params: Finetune, numerics: Numerics,
        progress: Progress,
    ) -> None:  # fmt: skip
        numerics.raise_if_idle(f"finetune.{branch}", params.batch)
        self.branch, self.base, self.train, self.heldout = branch, base, train, heldout
        self.params, self.numerics, self.progress = params, numerics, progress
        device = floats.configure_torch(numerics)
        self.settings = settings_of(params, params.steps, f"finetune.{branch}")
        any_head = branch == "classify"
        if not params.base.startswith("models/"):  # there DVC may link to its cache
            raise_if_linked_out(base)
        export.inspected(base, any_head)
        weight_bytes = sum(path.stat().st_size for path in export.weight_files(base)) * (1 if params.lora_rank else 4)
        refuse_beyond(TrainingForecast(weight_bytes, 0.0), self.settings, numerics)  # before weights are read
        self.model: export.Network
        self.model, _, self.base_facts = export.load(base, device, any_head)
        if params.lora_rank and isinstance(self.model, HubModel):
            hub_model.peft_library()  # before work
        if branch != "classify" and (not self.model.shape.causal or getattr(self.model, "fresh", None)):
            raise UserError(
                f"finetune.{branch}: {base.name} holds no causal model; give the one that pretrain@causal wrote"
            )
        self.context = min(params.context, self.model.shape.context)
        self.tokenizer_json, self.encoder = export.tokenizer_text(base), encoder_of(base)
        with progress.phase("draw"):
            choice = select(branch, train, heldout, params, self.encoder, self.context)
        progress.log(f"task {choice.task.name}: {choice.task.title}")
        notes = list(filter(None, [choice.examples.note, *self._notes(choice)]))
        for note in notes:
            progress.log(note)
        examples = replace(choice.examples, note=" ".join(notes))
        self.choice = replace(choice, examples=examples, branch=branch, batch=params.batch, context=self.context)

    def _notes(self, choice: Choice) -> Iterator[str]:
        """Sentences on the base that readers of these examples must know; empty ones among them."""
        most, wanted = self.model.shape.context, f"finetune.{self.branch}.context"
        if most < self.params.context:
            yield (f"The base has {most} positions, so no example has more tokens, though {wanted} is "
                   f"{self.params.context}.")  # fmt: skip
        if choice.cut and self.context < most:
            total = len(choice.examples.train) + len(choice.examples.heldout)
            yield (f"{choice.cut:,} of {total:,} examples are cut to {self.context} tokens, and the base could read "
                   f"{most}: raise {wanted}.")  # fmt: skip
        if had := hub_model.labels_of(read_json(self.base / "config.json")):
            does = "is tuned on" if len(had) == len(choice.examples.labels) else "gives way to a new one"
            yield f"The base is a classifier: its head ({', '.join(had[:5])}) {does}."
        if self._is_foreign:
            if not self.params.lora_rank and self.params.learning_rate >= HIGH_RATE:
                yield (f"finetune.{self.branch}.learning_rate is {self.params.learning_rate:g}, and a base made "
                       "elsewhere mostly wants 2e-5 to 5e-5 (`greenhouse edit base` writes it).")  # fmt: skip
            yield untrained_warning(self.model, self.base, self.encoder, choice.examples.heldout, self.numerics)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    @property
    def _is_foreign(self) -> bool:
        """Whether the base's tokenizer or network was not made here."""
        return isinstance(self.encoder, HubEncoder) or isinstance(self.model, HubModel)

    def training(self) -> tuple[Any, Any, Any]:
        """Model, batches and objective of a branch: what every process of its training makes for itself."""
        train, params, pad = self.choice.examples.train, self.params, self.encoder.pad
        if self.branch == "classify":
            model = self._classifier(self.model)
            if isinstance(model, HubModel):
                self.model = model  # the language model leaves memory
            return model, self._labelled(train), classify.loss
        if isinstance(params, Prefer):
            pairs = sorted((preferences.encoded(row, self.encoder) for row in train), key=len)
            with self.progress.phase("evaluate"):
                reference_N2 = preferences.all_log_probabilities(self.model, pairs, self.numerics, pad)
            self._add_lora(self.model)
            compared = preferences.preference_batches(pairs, reference_N2, params.batch, params.seed, pad)
            return self.model, compared, preferences.DPOLoss(params.beta)
        self._add_lora(self.model)
        if self.choice.chats:
            alone = isinstance(self.model, HubModel) and not self.model.packs
            packed = instruct.packed_batches(self.choice.chats, params.batch, self.context, params.seed, alone)
            return self.model, packed, language_model_loss
        chat = instruct.Format(self.encoder, self.context, chat=True)
        batches = instruct.pair_batches([chat(pair) for pair in train], params.batch, self.context, params.seed)
        return self.model, batches, language_model_loss

    def tune(self, out: Path, reports: Path, work: Path) -> Report:
        """Tune on pairs, judge before and after, save."""
        examples: Examples[PromptPair] = self.choice.examples
        chat = instruct.Format(self.encoder, self.context, chat=True)
        plain = instruct.Format(self.encoder, self.context, chat=False)
        # A base that may know chats is judged in the better of both forms: anything else would
        # flatter the tuning.
        forms = [plain, chat] if self._is_foreign or self.base_facts.get("task", {}).get("chat") else [plain]
        encoded = [chat(pair, end=False) for pair in examples.heldout]
        num_bytes = instruct.answer_bytes(examples.heldout, chat).sum()

        def judge(forms: list[instruct.Format]) -> Judged:
            judged = [instruct.judge(self.model, examples.heldout, form, self.numerics) for form in forms]
            scores, form = min(zip(judged, forms, strict=True), key=lambda one: float(one[0].bits.sum()))
            return scores, self._answers(examples.heldout[:EXAMPLES], form)

        def evaluate(step: int) -> dict[str, float]:
            nats = instruct.answer_nats(self.model, encoded, self.numerics)
            return {"heldout_bits_per_byte": float(nats.sum() / math.log(2) / num_bytes)}

        result, before, after = self._tuned(lambda: judge(forms), lambda: judge([chat]), evaluate, out, work)
        self._save(result, out, examples.train[0].question, examples.train[0].answer, self._shown(chat))
        return finetune_report.instruct(self.choice, result, before, after, reports)

    def prefer(self, out: Path, reports: Path, work: Path) -> Report:
        """Tune on pairs of a better and a worse answer, judge before and after, save."""
        rows: list[Preference] = self.choice.examples.heldout
        tested = [preferences.encoded(row, self.encoder) for row in rows]

        def log_probabilities() -> np.ndarray:
            return preferences.all_log_probabilities(self.model, tested, self.numerics, self.encoder.pad).numpy()

        def judge() -> Judged:
            return log_probabilities(), self._generated([pair.prompt for pair in tested[:EXAMPLES]])

        def evaluate(step: int) -> dict[str, float]:
            return {"heldout_accuracy": float(preferences.wins(log_probabilities()).mean())}

        result, before, after = self._tuned(judge, judge, evaluate, out, work)
        self._save(result, out, conversation(rows[0].prompt), rows[0].chosen)
        assert isinstance(self.params, Prefer)
        return finetune_report.prefer(self.choice, result, before, after, self.params.beta, reports)

    def _tuned(
        self, before: Callable[[], Judged], after: Callable[[], Judged], evaluate: Any, out: Path, work: Path
    ) -> tuple[TrainResult, Judged, Judged]:
        """Train a model that answers, and judge it before and after."""
        with self.progress.phase("evaluate"):
            judged = before()
        model, batches, objective = self.training()
        self._log_forecast(model, batches, objective)
        result = self._train(model, batches, objective, evaluate, work)
        self._merge_lora(model, out)
        self.model.eval()
        with self.progress.phase("evaluate"):
            return result, judged, after()

    def teach(self, out: Path, reports: Path, work: Path) -> Report:
        """Train TF-IDF, then a head and the backbone on passages; say which to use; judge and save both."""
        examples: Examples[Passage] = self.choice.examples
        labels, problem = examples.labels, examples.problem
        test_ids = classify.encoded(self.encoder, examples.heldout, self.context)
        counted = self._counted()  # its memory is then part of the forecast
        simple, recommendation = self._advised(work)
        model, batches, objective = self.training()

        def evaluate(step: int) -> dict[str, float]:
            right = classify.right_of(self._predicted(model, test_ids), examples.heldout)
            return {"heldout_accuracy": float(right.mean())}

        result = self._train(model, batches, objective, evaluate, work)
        probability_NK = classify.predict(model.eval(), test_ids, self.numerics, problem)
        self._merge_lora(model, out)
        report = classification_report.classify(
            self.choice, result, probability_NK,
            {"tfidf": simple.predict([row.text for row in examples.heldout])} | counted, recommendation,
            [self.encoder.read(row.text, self.context) for row in examples.heldout], reports,
        )  # fmt: skip
        facts = {"labels": labels, "pooling": "last" if self.model.shape.causal else "mean", "problem": problem}
        classifier.save_classifier(
            model, labels, self.tokenizer_json, out, self._facts(result, facts | {"advice": report.facts["advice"]}),
            self.base if self._is_foreign else None, problem,
        )  # fmt: skip
        simple.save(labels, out / "tfidf")
        self.progress.log(report.facts["advice"])
        return report

    def _advised(self, work: Path) -> tuple[tfidf.Tfidf, tfidf.Recommendation]:
        """TF-IDF on all training passages, and whether it or the network is to be used."""
        examples: Examples[Passage] = self.choice.examples
        labels, problem = examples.labels, examples.problem
        with self.progress.phase("tfidf"):
            settings, _ = tfidf.choose(examples.train, len(labels), problem)
            simple = tfidf.train(examples.train, len(labels), problem, settings)
        self.progress.log(f"TF-IDF of {' and '.join(settings.parts)}, by cross-validation")

        def trained(train: Sequence[Passage], tested: Sequence[Passage], number: int) -> np.ndarray:
            fresh = self.model if isinstance(self.model, HubModel) else export.load(self.base, str(self.device))[0]
            tuned, batches = self._classifier(fresh), self._labelled(train)
            ids = classify.encoded(self.encoder, tested, self.context)
            part = Part(self.progress, f"cross-validation {number} of at most {tfidf.FOLDS}")
            if number == 1:
                self._log_forecast(tuned, batches, classify.loss)
            self._train(tuned, batches, classify.loss, None, work / f"fold-{number}", part)
            return self._predicted(tuned.eval(), ids)

        return simple, tfidf.recommend(examples, settings, trained)

    def _classifier(self, backbone: export.Network) -> classifier.AnyClassifier:
        """A fresh head on a pretrained backbone, with adapters if they are asked for."""
        labels, pad, seed = self.choice.examples.labels, self.encoder.pad, self.params.seed
        if isinstance(backbone, HubModel):
            problem = self.choice.examples.problem
            model = hub_model.load_classifier(self.base, backbone.shape, pad, seed, labels, problem, str(self.device))
            self._add_lora(model)
            return model
        self._add_lora(backbone)
        return classifier.Classifier(backbone, len(labels), pad).initialise_head(seed)

    def _labelled(self, passages: Sequence[Passage]) -> Batches:
        """Training batches of passages."""
        examples, params = self.choice.examples, self.params
        ids = classify.encoded(self.encoder, passages, self.context)
        targets = classify.targets_of(passages, examples.problem, len(examples.labels))
        return classify.passage_batches(ids, targets, params.batch, params.seed, self.encoder.pad)

    def _predicted(self, model: classifier.AnyClassifier, test_ids: list[list[int]]) -> np.ndarray:
        """Classes that a model predicts for held-out passages, as `classify.decided` has them."""
        problem = self.choice.examples.problem
        return classify.decided(classify.predict(model, test_ids, self.numerics, problem), problem)

    def _counted(self) -> dict[str, np.ndarray]:
        """Predictions of rules that know the same labels on held-out passages, by their key: bool (N, K) each."""
        examples: Examples[Passage] = self.choice.examples
        has_NK = classify.truth_of(examples.train, len(examples.labels))
        corpus = counting.pieces(read_corpus(self.train)) if is_corpus(self.train) else []
        several = examples.problem == "multi_label_classification"
        texts = counting.LabelledText([passage.text for passage in examples.train], has_NK, several, corpus)
        with self.progress.phase("evaluate"):
            answers = posed("label", texts, (passage.text for passage in examples.heldout))
        return {key_of(name): np.stack(rows) for name, rows in answers.items()}

    def _shown(self, form: instruct.Format) -> list[dict[str, str]]:
        """For `greenhouse chat`: of each kind taught a held-out question that is answered right, and one not taught."""
        rows = []
        for kind in taught.KINDS if self.choice.taught else ():
            pairs = taught.questions(kind, self.params.seed, EXAMPLES, "test")
            answered = zip(pairs, self._answers(pairs, form), strict=True)
            right = [(pair.prompt, text) for pair, text in answered if pair.answer == text.strip()]
            rows += [{"prompt": prompt, "answer": text} for prompt, text in right[:1]]
        other = PromptPair(UNTAUGHT, "", "")
        return [*rows, {"prompt": UNTAUGHT, "answer": self._answers([other], form)[0]}] if rows else []

    def _save(
        self, result: TrainResult, out: Path, prompt: str, answer: str, shown: Sequence[dict[str, str]] = ()
    ) -> None:
        """Write a model that answers, with examples for `greenhouse chat`; a row of one's own never leaves."""
        example: dict[str, Any] = {} if self.choice.rows else {"example": {"prompt": prompt, "answer": answer}}
        example |= {"shown": shown, "range": taught.RANGE} if shown else {}
        facts = self._facts(result, {"chat": True} | example)
        export.save(self.model, self.tokenizer_json, out, facts, self.base if self._is_foreign else None)

    def _add_lora(self, model: export.Network) -> None:
        params = self.params
        if params.lora_rank and isinstance(model, HubModel):
            model.add_lora(params.lora_rank, params.seed, params.lora_alpha, params.lora_targets)
        elif params.lora_rank:
            lora.add_lora(model, params.lora_rank, params.seed, params.lora_alpha, params.lora_targets)

    def _merge_lora(self, model: Any, out: Path) -> None:
        """Save the adapters, if there are any, and fold them into the model: what reads `out` needs a whole one."""
        if not self.params.lora_rank:
            return
        task = {"name": self.choice.task.name, "branch": self.branch, "chat": self.branch != "classify"}
        adapter.save(model, self.base, self.params.base, out / "adapter", {"task": task})
        if isinstance(model, HubModel):
            model.merge_lora()
        else:
            lora.merge_lora(model)

    def _train(
        self, model: Any, batches: Any, objective: Any, evaluate: Any, work: Path, progress: Progress | None = None
    ) -> TrainResult:
        def run(group: data_parallel.ProcessGroup) -> TrainResult:
            rank_batches = replace(batches, rank=group.rank, ranks=group.size)
            return train_loop(
                model, rank_batches, objective, self.settings, work / "checkpoints", progress or self.progress,
                numerics=self.numerics, tokenizer_json=self.tokenizer_json, evaluate=evaluate, group=group,
            )  # fmt: skip

        with self.progress.phase("cross-validate" if progress else "train"):
            if progress:  # a small one beside it
                return run(data_parallel.SINGLE)
            return data_parallel.train_together(run, self.numerics, work, self._worker(work))[0]

    def _log_forecast(self, model: Any, batches: Any, objective: Any) -> None:
        """Say what a training takes before the first. Raises `UserError`: there is less memory."""
        with self.progress.phase("evaluate"):
            cost = forecast(model, batches, objective, self.settings, self.numerics)
        line = f"forecast: {cost} ({self.settings.steps})"
        if self.branch == "classify":
            line += f"; {(1 + tfidf.FOLDS) * cost.seconds:,.1f} s at most with its cross-validation before"
        self.progress.log(line)
        refuse_beyond(cost, self.settings, self.numerics)

    def _worker(self, work: Path) -> list[str]:
        """Arguments of `python` that start one more process of the same training."""
        paths = {"base": str(self.base), "train": str(self.train), "heldout": str(self.heldout), "work": str(work)}
        settings = {"params": self.params.model_dump(mode="json"), "numerics": self.numerics.model_dump(mode="json")}
        return ["-m", "components.stages.finetune.stage", json.dumps({"branch": self.branch} | paths | settings)]

    def train_along(self, work: Path) -> None:
        """In another process than the stage's own: take part in its training, and judge nothing.

        It has an evaluation, which the loop does not call here, so that it waits while the stage's
        own judges.
        """
        self._train(*self.training(), lambda step: {}, work)

    def _facts(self, result: TrainResult, more: dict[str, Any]) -> dict[str, Any]:
        """Facts of the fine-tuning for greenhouse.json, added to the base model's."""
        task = {"name": self.choice.task.name, "title": self.choice.task.title, "branch": self.branch} | more
        tuning: dict[str, Any] = {"steps": len(result.losses), "examples": self.params.batch * len(result.losses)}
        tuning["lora_rank"] = self.params.lora_rank
        if self._is_foreign:
            tuning |= {"base": self.base.name, "tokenizer_sha256": sha256_bytes(self.tokenizer_json.encode())}
            tuning |= origin_of(self.base, self.base_facts)
        tuning |= {"rows": self.choice.rows} if self.choice.rows else {}
        tuning |= {"skipped_batches": result.skipped} if result.skipped else {}
        return self.base_facts | {"task": task, "finetuning": tuning}

    def _answers(self, pairs: Sequence[PromptPair], form: instruct.Format) -> list[str]:
        """The model's own answers to prompts of a form."""
        max_prompt = self.context - min(ANSWER_TOKENS, self.context // 3)
        texts = self._generated([form.prompt(pair, max_prompt) for pair in pairs])
        return texts if form.chat else [text.split("\n")[0] for text in texts]

    def _generated(self, prompts: list[list[int]]) -> list[str]:
        """Text that the model writes after prompts, greedily."""
        tokenizer, most = Tokenizer.from_str(self.tokenizer_json), min(ANSWER_TOKENS, self.context // 3)
        settings: Any = {"max_tokens": most, "seed": self.params.seed, "stop_ids": self.encoder.stops}
        return [generate.generate(self.model, tokenizer, ids, **settings)[0] for ids in prompts]
