"""Params: all sections of params.yaml, what must hold between them, and the sentence for what does not."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from components.core.errors import UserError
from components.params.filter import Filter
from components.params.finetune import FinetuneBranches
from components.params.ingest import Ingest
from components.params.mix import Mix
from components.params.numerics import Numerics
from components.params.pretrain import PretrainBranches
from components.params.promote import Promote
from components.params.runtime import Runtime
from components.params.section import Fraction, Section, matching


class Dedup(Section):
    """Remove exact and near duplicates: MinHash proposes, exact Jaccard similarity decides."""

    near: bool = True
    """Look for near-duplicates too (exact duplicates always go)."""
    threshold: float = Field(default=0.7, gt=0.0, le=1.0)
    """Jaccard similarity of word n-grams from which a document is a near-duplicate."""
    ngram: int = Field(default=5, ge=1, le=20)
    """Words per shingle."""
    bands: int = Field(default=32, ge=1, le=256)
    """MinHash bands; more of them propose more pairs (recall)."""
    rows: int = Field(default=4, ge=1, le=32)
    """Hashes per band; fewer propose more pairs (recall)."""


class Bias(Section):
    """Measure mentions and toxicity per group and source; filter on identity-masked scores; audit the filter."""

    scorer: str = "profanity-check"
    """`profanity-check` (offline default) or `transformers:<folder or hub id>@<revision>`."""
    sentence_threshold: Fraction = 0.7
    """Probability of toxicity above which a sentence counts as toxic."""
    max_toxic_share: Fraction = 0.3
    """Documents with a larger share of toxic sentences are dropped (rule `toxic`); 1 drops none."""
    min_toxic_sentences: int = Field(default=5, ge=1)
    """Documents with fewer toxic sentences are kept whatever their share: a few in a medical text are its words."""
    mask_identity: bool = True
    """Hide words for identity groups from the scorer, so that mention alone is no reason to drop."""
    min_mentions: int = Field(default=50, ge=1)
    """Groups with fewer mentions (documents or sentences) are listed without a rate."""
    max_probe_gap: Fraction = 0.05
    """Largest gap of false-positive rates between groups on the template probe; above it the flow stops."""
    max_removal_ratio: float = Field(default=2.0, ge=1.0)
    """Largest ratio of removal rates, group against rest, stratified by source and length; surely above it (95%
    interval) the flow stops. A large number, such as 1000, never stops."""


class Tokenize(Section):
    """Train a byte-level BPE and encode the corpus into memory-mapped shards."""

    vocab_size: int = Field(default=2048, ge=300, le=200_000)
    """Tokens in the vocabulary, 256 bytes and the special tokens included."""
    train_megabytes: float = Field(default=20.0, gt=0.0)
    """Text the BPE is trained on at most (10^6 bytes), an even sample of the documents."""


TASK = matching(
    r"[^@]+\.ya?ml|[\w.\-]+@[0-9a-f]{40}",
    "a task is a YAML file below filter.decontaminate.items, or a name of lm-evaluation-harness with the commit of its "
    "data (`arc_easy@` and 40 digits of 0-9a-f)",
)


class Evaluate(Section):
    """Tasks that score the models, each score beside the best trivial rule on the same items."""

    heldout_kilobytes: float = Field(default=120.0, gt=0.0)
    """Held-out text scored per source at most (10^3 bytes)."""
    items: int = Field(default=120, ge=20, le=1000)
    """Items per probe and condition."""
    shots: list[Annotated[int, Field(ge=0, le=22)]] = [0, 1, 2, 4, 8]
    """Example counts of the few-shot curve."""
    tasks: list[Annotated[str, *TASK]] = []
    """Tasks of lm-evaluation-harness: YAML files below `filter.decontaminate.items`, or `name@<commit of its data>`."""
    seed: int = 1
    """Seed of item generation and resampling."""


class Account(Section):
    """The summary, the report, and the model card."""

    model_name: str = "greenhouse"
    """Registered models are named `<model_name>-<objective>-<size>`."""
    description: str = "A small language model grown with Greenhouse."
    """First sentence of the model card."""
    licence: Annotated[
        str, *matching(r"[A-Za-z0-9.+-]*", "an SPDX id has no spaces or brackets, such as Apache-2.0 or CC-BY-4.0")
    ] = ""
    """SPDX id under which you publish the models, such as Apache-2.0; empty: cards say that none is stated."""


class Params(Section):
    """The whole of params.yaml."""

    ingest: Ingest = Ingest()
    """Read the sources."""
    dedup: Dedup = Dedup()
    """Remove duplicates."""
    filter: Filter = Filter()
    """Remove poor text, redact personal data."""
    bias: Bias = Bias()
    """Measure and filter for bias."""
    mix: Mix = Mix()
    """Weigh sources, add curriculum."""
    tokenize: Tokenize = Tokenize()
    """Train the tokenizer, encode."""
    pretrain: PretrainBranches = PretrainBranches()
    """Pretrain both models."""
    finetune: FinetuneBranches = FinetuneBranches()
    """Fine-tune both models."""
    evaluate: Evaluate = Evaluate()
    """Examine the models."""
    account: Account = Account()
    """Summarise and account."""
    promote: Promote = Promote()
    """Ask the gate."""
    numerics: Numerics = Numerics()
    """How floats are computed."""
    runtime: Runtime = Runtime()
    """Neutral settings."""

    @model_validator(mode="after")
    def _evaluation_sets_are_looked_for(self) -> "Params":
        items = self.filter.decontaminate.items
        for path in [entry for entry in self.evaluate.tasks if "@" not in entry]:
            if not Path(os.path.normpath(path)).is_relative_to(items):
                raise ValueError(
                    f"evaluate.tasks = {path} lies outside filter.decontaminate.items = {items}, so training text "
                    "would not be cleared of it; move it there"
                )
        return self

    @model_validator(mode="after")
    def _settings_per_source_name_sources(self) -> "Params":
        """A setting for a source that is not there would silently do nothing."""
        known = [source.name for source in self.ingest.sources]
        for key, named in (("filter.per_source", self.filter.per_source), ("mix.weights", self.mix.weights)):
            for name in named:
                if name not in known:
                    raise ValueError(
                        f"{key}.{name}: ingest.sources has no source of that name (there is: {', '.join(known)}); "
                        "correct the name or remove the entry"
                    )
        return self

    def identity(self) -> dict:
        """All that may change bytes: everything but `runtime`."""
        return self.model_dump(mode="json", exclude={"runtime"})


def explain(error: ValidationError, where: str) -> str:
    """One sentence for the first fault of a validation: key, value, limit, what to do."""
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    return error_sentence(first, key, where, error.error_count() - 1)


def error_sentence(first: ErrorDetails, key: str, where: str, others: int) -> str:
    """One sentence for a fault at a key, with the number of other faults; of the whole, it names the key by itself."""
    value = first.get("input")
    shown = "" if isinstance(value, dict | list) else f" = {value!r}"
    more = f" (and {others} more)" if others else ""
    rule = "unknown key; remove it or correct its spelling" if first["type"] == "extra_forbidden" else first["msg"]
    rule = rule.removeprefix("Value error, ")  # of pydantic, before the sentence of a validator of ours
    return ": ".join(part for part in (where, f"{key}{shown}" if key else "", f"{rule}{more}") if part)


def parse(raw: object, where: str = "params") -> Params:
    """Validate a tree of the schema; keys it lacks get the schema's defaults (a file is read by `load`).

    Raises `UserError`: naming key, value and limit.
    """
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        raise UserError(explain(error, where)) from None
