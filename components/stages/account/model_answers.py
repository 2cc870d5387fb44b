"""The five answers of each model, collected from what stages recorded, the costs, and the origin of the models."""

from collections.abc import Collection, Mapping
from os.path import commonpath
from pathlib import Path, PurePath
from typing import Any, Literal

from components.core.errors import UserError
from components.core.files import read_json
from components.params import Account, FinetuneBranches
from components.scores import Score
from components.stages.account.answers import (
    Attribution,
    CostAnswer,
    DataAnswer,
    Forecast,
    LoadAnswer,
    ModelAnswers,
    ModelOrigin,
    NotKnown,
    QualityAnswer,
    RebuildAnswer,
    Removed,
)
from components.stages.account.data_card import LIMITS
from components.stages.account.summary import CORPUS_STAGES, MODELS, Files
from components.stages.account.types import Cost, ModelFacts, StageRecords
from components.text.language import NO_LANGUAGE, UNSURE

Tunings = Mapping[str, Mapping[str, Any]]
"""Branch of fine-tuning -> its settings, of which `base` and `data` say what a model comes from."""
MAX_WORKS = 500
MODEL_LIMITS = (
    "It is a small model made to be understood and compared, not a product: do not use it where an answer matters.",
    "What it writes may be wrong, and may repeat what its training text says of people.",
)


def lineage(model: str, tunings: Tunings) -> list[str]:
    """The models that a model comes from, the first one first, itself last; one made elsewhere by its folder's name."""
    line = [model]
    while line[0].startswith("finetune/"):
        base = PurePath(_setting(line[0], "base", tunings))
        own_models = {f"models/{name}": name for name in MODELS if name not in line}
        line.insert(0, own_models.get(base.as_posix(), base.name))
    return line


def stages_behind(model: str, tunings: Tunings) -> list[str]:
    """Stages of this pipeline that a model is made by, in order.

    A base made elsewhere has none; the data stages then count as far as they made the corpus that
    it is tuned on. For rows of one's own none does, though they are checked against the held-out
    set of ingest.
    """
    if model.startswith("adopted/"):
        return [model.replace("/", "@")]
    line = lineage(model, tunings)
    corpus = (*CORPUS_STAGES, "tokenize") if line[0] in MODELS else CORPUS_STAGES[: max(_read(line, tunings).values())]
    return [*corpus, *(name.replace("/", "@") for name in line if name in MODELS)]


def _read(line: list[str], tunings: Tunings) -> dict[PurePath, int]:
    """Data that each tuning in a line read -> number of corpus stages that made it; 0 for rows of one's own."""
    paths = [PurePath(_setting(name, "data", tunings)) for name in line if name.startswith("finetune/")]
    numbered = list(enumerate(CORPUS_STAGES, 1))
    return {path: next((n for n, stage in numbered if path.is_relative_to(f"data/{stage}")), 0) for path in paths}


def _setting(model: str, key: Literal["base", "data"], tunings: Tunings) -> str:
    """`base` or `data` of a tuned model; states of before these settings have what was fixed then."""
    branch = model.removeprefix("finetune/")
    fixed = {"base": "models/finetune/instruct", "data": "data/bias/train"}
    return str(tunings.get(branch, {}).get(key) or getattr(getattr(FinetuneBranches(), branch), key) or fixed[key])


def files_behind(file: Files, stages: Collection[str]) -> Files:
    """Files of a state, without the corpora of stages that are not among `stages`."""

    def file_of(path: str) -> Path | None:
        top, stage, *_ = path.split("/")
        return None if top == "data" and stage not in stages else file(path)

    return file_of


def load_answer(model: str, where: str, first: str = "", address: str = "") -> LoadAnswer:
    """How `transformers` loads a model folder, or MLflow at an address a registered model (`models:/...`)."""
    if where.startswith("models:"):
        call = f'mlflow.transformers.load_model("{where}")'
        return LoadAnswer(tool="MLflow", call=call, first=first, address=address)
    return LoadAnswer(tool="Transformers", call=f'pipeline("{MODELS[model]}", model="{where}")', first=first)


def unknown_origin(model: str) -> ModelOrigin:
    """The origin of a model in a folder without git, DVC and MLflow."""
    unknown = NotKnown(not_known="neither git nor DVC was asked: made by a call of the stage function")
    rebuild = RebuildAnswer(
        commit=unknown, dvc_lock=unknown, model=unknown, verified=unknown, command=verify_command(model)
    )
    return ModelOrigin(rebuild=rebuild, load=load_answer(model, f"models/{model}"), champion=unknown)


def verify_command(model: str, revision: str = "") -> str:
    """The command that rebuilds a model and compares its bytes."""
    return f"greenhouse verify {model.replace('/', '@')}" + (f" --at {revision}" if revision else "")


def model_answers(
    model: str, account: Account, records: StageRecords, cost: Cost, forecasts: list[dict[str, Any]],
    origin: ModelOrigin, file: Files, tunings: Tunings,
) -> ModelAnswers:  # fmt: skip
    """The five answers of one model.

    Args:
        model: its folder below models/; in `records.models`.
        forecasts: as in the summary.
        file: files of the state the model is of; the corpus is read for its attributions.
        tunings: settings of that state.
    """
    line, stages, facts = lineage(model, tunings), stages_behind(model, tunings), records.models[model]
    own_rows = [path.name for path, made_by in _read(line, tunings).items() if not made_by]
    unstated = NotKnown(not_known="account.licence is empty: the model's owner has not stated one", is_none=True)
    return ModelAnswers(
        model=model,
        state=origin.state,
        kind=origin.kind,
        title=f"{account.model_name}: {model}",
        description=account.description,
        licence=account.licence or unstated,
        base="".join(line[-2:-1]),
        stages=stages,
        facts=facts,
        data=data_answer(records, model, files_behind(file, stages), stages),
        cost=cost_answer(model, stages, cost, forecasts),
        quality=quality_answer(line[-2:], records, origin),
        rebuild=origin.rebuild,
        load=origin.load,
        limits=[*MODEL_LIMITS, *_made_elsewhere(line, stages, facts.finetuning), *_passed_over(facts), *LIMITS],
        own_rows=own_rows,
        example={} if own_rows else _example(file(f"reports/{model}/details/examples.json")),
    )


def _example(path: Path | None) -> dict[str, str]:
    """The shortest of the held-out prompts that a chat model was asked, and its answer; empty for another model."""
    rows = [row for row in read_json(path) if row["after"].strip()] if path else []
    first = min(rows, key=lambda row: len(row["prompt"]), default=None)
    return {"prompt": first["prompt"], "answer": first["after"]} if first else {}


def _made_elsewhere(line: list[str], stages: list[str], tuning: Mapping[str, Any]) -> list[str]:
    """Limit of the answers: a first model that was not pretrained here."""
    if line[0] in MODELS:
        return []
    name, stated = tuning.get("base_name") or line[0], tuning.get("base_licence") or "none stated in its folder"
    revision = [f"revision {tuning['base_revision']}"] if tuning.get("base_revision") else []
    text = ", ".join([*revision, f"licence: {stated}"])
    return [
        f"It comes from {name} ({text}), which was made elsewhere: text, tokenizer and cost of that model are not "
        f"recorded here; data and cost above are those of {', '.join(stages)} alone."
    ]


def _passed_over(facts: ModelFacts) -> list[str]:
    """Batches that its trainings did not learn from."""
    trainings = {"pretraining": facts.training, "fine-tuning": facts.finetuning}
    return [f"{len(skipped)} batches of its {name} were passed over for a bad loss: it did not learn from them."
            for name, facts in trainings.items() if (skipped := facts.get("skipped_batches"))]  # fmt: skip


# -- data --------------------------------------------------------------------------------------------------------------


def data_answer(records: StageRecords, model: str, file: Files, stages: Collection[str]) -> DataAnswer | NotKnown:
    """Licences, sources, and who was removed by which rule, as far as the stages behind the model did it."""
    if not set(CORPUS_STAGES) & set(stages):
        return NotKnown(not_known="its base and its rows were made elsewhere; no text of this pipeline is behind it")
    documents = {stage: row for stage, row in records.documents.items() if stage in stages}
    real = next((documents[stage] for stage in ("bias", "filter", "dedup", "ingest") if stage in documents), None)
    if real is None:
        return NotKnown(not_known="no corpus is recorded: the data stages have not run, or their outputs are gone")
    mixture = documents.get("mix", real)
    removed = [
        Removed(stage=stage, rule=rule, documents=number, of=row.num_in)
        for stage, row in documents.items()
        for rule, number in row.rules.items()
    ]
    return DataAnswer(
        documents=real.kept,
        num_bytes=real.kept_bytes,
        mixture=mixture.kept,
        generated=sum(mixture.generated.values()),
        sources={name: row["num_documents"] for name, row in real.sources.items()},
        licences={name: row["num_documents"] for name, row in real.licences.items()},
        languages=languages_of(records.tables.get("tokenize/languages", [])) if "tokenize" in stages else [],
        left_out=records.left_out,
        left_out_bytes=records.left_out_bytes,
        removed=removed,
        quarantined=sum(row.quarantined for row in documents.values()),
        heldout=sum(row.heldout for row in documents.values()),
        groups=_groups(records),
        audit=records.audit if "bias" in stages else "",
        unjudged=records.unjudged,
        num_tokens=records.tokens.get("train", {}).get("num_tokens") if "tokenize" in stages else None,
        tokens_seen=records.models[model].training.get("tokens"),
        attribution=attribution(file),
    )


def languages_of(rows: list[dict[str, str]]) -> list[str]:
    """Languages of the training text, the most bytes first."""
    sizes = {row["language"]: int(row["bytes"]) for row in rows if row["split"] == "train"}
    sizes = {name: size for name, size in sizes.items() if name not in (UNSURE, NO_LANGUAGE)}
    return [name for name, size in sizes.items() if size >= 0.01 * sum(sizes.values())]


def _groups(records: StageRecords) -> list[Removed] | NotKnown:
    """Documents that mention a group of people, and how many of them the toxicity filter removed."""
    if records.mostly_unjudged:
        return NotKnown(not_known=records.unjudged)
    if not records.mentions:
        return NotKnown(not_known="the bias stage counted no mention of a group")
    impact = {row["group"]: row for row in records.tables["bias/disparate_impact"]}
    return [
        Removed(
            stage="bias", rule=group, documents=before - after, of=before, too_few=group not in impact,
            note=impact.get(group, {}).get("note", ""),
            **{name: _number(impact.get(group, {}).get(f"removal_ratio{end}")) for name, end in _ENDS.items()},
        )
        for group, (before, after) in records.mentions.items()
    ]  # fmt: skip


_ENDS = {"removal_ratio": "", "low": "_low", "high": "_high"}


def _number(text: str | None) -> float | None:
    return float(text) if text else None


def attribution(file: Files) -> list[Attribution] | NotKnown:
    """Source, version and licence of all text that was trained on, from the corpus itself; generated text is ours."""
    import polars as pl

    try:
        manifest = file("data/bias/train/manifest.json")
        names = [shard["file"] for shard in read_json(manifest)["shards"]] if manifest else []
        shards = [path for name in names if (path := file(f"data/bias/train/{name}"))]
    except UserError as error:
        return NotKnown(not_known=str(error))
    if not shards:
        return NotKnown(not_known="the corpus is not here: run the data stages")
    keys = ["licence", "source", "source_version", "licence_from"]
    location = pl.col("location")
    columns = (pl.len(), pl.col("group").unique().sort(), location.min().alias("first"), location.max().alias("last"))
    rows = pl.scan_parquet(shards).group_by(keys).agg(*columns).sort(keys).collect()
    return [
        Attribution(
            source=row["source"], version=row["source_version"], licence=row["licence"],
            licence_from=row["licence_from"], documents=row["len"],
            location=commonpath([row["first"], row["last"]]), works=row["group"][:MAX_WORKS],
            num_works=len(row["group"]),
        )
        for row in rows.iter_rows(named=True)
    ]  # fmt: skip


# -- cost --------------------------------------------------------------------------------------------------------------


def cost_answer(model: str, behind: list[str], cost: Cost, forecasts: list[dict[str, Any]]) -> CostAnswer | NotKnown:
    """Energy and carbon of all stages behind the model, and how they were forecast."""
    stage_cost = cost.stages.get(model.replace("/", "@"), cost.nothing)
    rows = {stage: cost.stages[stage] for stage in behind if stage in cost.stages}
    if not rows:
        return NotKnown(not_known="the ledger has no completed run of the stages behind this model")
    totals = {
        name: [sum(ends) for ends in zip(*(getattr(row, name) for row in rows.values()), strict=True)]
        for name in ("kwh", "grams", "embodied_grams", "attempts_kwh")
    }
    return CostAnswer(
        **totals,
        own_kwh=stage_cost.kwh,
        own_grams=stage_cost.grams,
        own_seconds=stage_cost.elapsed_s + getattr(stage_cost, "attempts_s", 0.0),
        seconds=sum(row.elapsed_s + row.attempts_s for row in rows.values()),
        cpu_s=sum(row.cpu_s for row in rows.values()),
        attempts=sum(row.attempts for row in rows.values()),
        forecast=forecast_of(rows, forecasts),
        stages=list(rows),
        missing=[stage for stage in behind if stage not in rows],
        **{name: getattr(cost, name) for name in ("measured", "how", "intensity", "location", "hardware")},
    )


def forecast_of(rows: Mapping[str, Any], forecasts: list[dict[str, Any]]) -> Forecast | NotKnown:
    """Sum of the forecasts that stages had, and what just these took."""
    known = {(row["stage"], row["run"]): row for row in forecasts}
    used = {stage: known[stage, row.run] for stage, row in rows.items() if (stage, row.run) in known}
    if not used:
        return NotKnown(not_known="no stage behind it had a forecast; a first run has no earlier one to learn from")
    kwh, actual = sum(row["kwh"][1] for row in used.values()), sum(row["actual_kwh"] for row in used.values())
    return Forecast(stages=list(used), kwh=kwh, actual_kwh=actual)


# -- quality -----------------------------------------------------------------------------------------------------------


def quality_answer(line: list[str], records: StageRecords, origin: ModelOrigin) -> QualityAnswer | NotKnown:
    """Scores of the model, the last of `line`, by its own stage and by evaluate, then those of its base."""
    earlier = origin.scored_earlier  # what evaluate measured of them is of weights that are no longer theirs
    known = [score for score in records.scores if score.measured_by != "evaluate" or score.model not in earlier]
    scores = [score for name in reversed(line) for score in _scores(name, known)]
    if not scores:
        return NotKnown(not_known="no stage has scored this model; run evaluate")
    skipped = {f"{row.stage}: {row.what}": row.why for row in records.skipped}
    return QualityAnswer(scores=scores, skipped=skipped, champion=origin.champion, scored_earlier=earlier)


def _scores(model: str, scores: list[Score]) -> list[Score]:
    """A tuned model's scores, its own stage's first; of a pretrained one its own stage's only if evaluate has none."""
    of_model = [score for score in scores if score.model == model]
    evaluated = [score for score in of_model if score.measured_by == "evaluate"]
    own_stage = [score for score in of_model if score.measured_by != "evaluate"]
    return (evaluated or own_stage) if model.startswith("pretrain/") else own_stage + evaluated
