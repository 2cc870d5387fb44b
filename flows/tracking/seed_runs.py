"""Runs that differ in seeds alone: which settings they share, the seed noise they measured, and their mean scores.

    .greenhouse/findings/noise/NAME.json of a registered model:
        held-out set -> settings -> run -> items (hash in DVC's cache), scores,
        model (its hash)

Seed noise belongs to a registered name, a held-out set and settings. `greenhouse study seeds`
writes it; the gate, the comparison and the report read it. Where it was not measured, a comparison
of models of the demo's size takes the spread that ships (verdicts.py); the gate does not.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.core.errors import UserError
from components.core.files import fingerprint, read_json, write_json
from components.core.report import flat
from components.params import GateRule, Params, parse
from components.stages.account.summary import MODELS
from components.studies.noise_floor import ONE_TRAINING, Scores, SeedNoise, Side, seed_noise, shipped_noise
from components.studies.promotion_gate import Evaluation
from components.verdicts import shipped_spread
from flows.system import dvc, paths
from flows.tracking.model_registry import registered_name
from flows.tracking.snapshots import ObjectCache, Snapshot

HELDOUT = "data/ingest/heldout"
STAGES = {name.split("/")[1]: name.replace("/", "@") for name in MODELS}
"""Kind of model -> the stage that makes it."""
EVALUATE = "reports/evaluate"
SIZE = ("model", "steps", "batch", "context", "base")
"""Keys of a training that say whether the spread that ships was measured on such a model."""
LEAST_FREEDOM = 3.0
"""Degrees of freedom from which seed noise that was measured is used alone: 2 find no difference that there is."""
SCORED_BY = dict.fromkeys(STAGES, EVALUATE) | {"classify": "reports/finetune/classify"}
"""Kind of model -> the reports of the stage that scores its items."""


def model_name(snapshot: Snapshot, branch: str) -> str:
    """The registered name of a snapshot's model."""
    return registered_name(params_of(snapshot), STAGES[branch].split("@")[0], branch)


def params_of(snapshot: Snapshot) -> Params:
    """The parameters that a snapshot's stages ran with, defaults where none depends on one.

    Raises `UserError`: this version knows no such parameter.
    """
    known = set(type(parse({})).model_fields)
    return parse({section: values for section, values in snapshot.params().items() if section in known})


def has_demo_size(snapshot: Snapshot, branch: str) -> bool:
    """Whether a snapshot's model, and the one it was tuned from, have the size and length of training of the demo's."""

    def sizes(params: Params, model: str) -> list[Any]:
        section, kind = model.split("/")
        training = getattr(getattr(params, section), kind)
        base = getattr(training, "base", "").removeprefix("models/")
        return [*(getattr(training, key, None) for key in SIZE), *(sizes(params, base) if base in MODELS else [])]

    model = STAGES[branch].replace("@", "/")
    return sizes(params_of(snapshot), model) == sizes(parse({}), model)


def settings_of(snapshot: Snapshot, branch: str) -> str:
    """Fingerprint of all that a model and its evaluation depend on, without seeds of training and mixing.

    Parameters, code, and what no stage made: sources, evaluation sets, rows of one's own. Runs of
    other code measure another thing, and are not averaged.
    """
    stage = STAGES[branch]
    stages = {*dvc.upstream(dvc.graph(), stage), *(["evaluate"] if branch != "classify" else [])} & snapshot.lock.keys()
    values = {name: Snapshot("", "", {name: snapshot.lock[name]}).params() for name in sorted(stages)}
    asked = {}
    if "evaluate" in values:  # it depends on the settings of every model; its own seed draws the items
        asked, values["evaluate"] = values["evaluate"].get("evaluate", {}), {}
    read = {
        stage: {dep["path"]: dep["md5"] for dep in snapshot.lock[stage].get("deps", [])
                if not dep["path"].startswith(("data/", "models/"))}
        for stage in sorted(stages)
    }  # fmt: skip
    return fingerprint([_without_seeds(values), asked, read])


def _without_seeds(tree: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    return {name: _without_seeds(value) for name, value in tree.items() if name != "seed"}


def model_of(snapshot: Snapshot, branch: str) -> str:
    """Hash of a snapshot's model of a kind, which names one training; "" if it has none."""
    return snapshot.outputs().get(f"models/{STAGES[branch].replace('@', '/')}", "")


def heldout_of(snapshot: Snapshot) -> str:
    """Hash of the held-out set that its evaluation read, which after an interrupted run may be an earlier one than it
    has; of the one it has, if nothing was evaluated; "" if it has none."""
    read = {dep["path"]: dep.get("md5", "") for dep in snapshot.lock.get("evaluate", {}).get("deps", [])}
    return read.get(HELDOUT) or snapshot.outputs().get(HELDOUT, "")


@dataclass(frozen=True)
class SeedRuns:
    """All runs that are known of a registered name on one held-out set: settings -> run name -> its record."""

    known: dict[str, dict[str, dict[str, Any]]]

    @classmethod
    def of(cls, name: str, heldout: str) -> "SeedRuns":
        """Runs that `greenhouse study seeds` measured; none if it never ran."""
        path = _path(name)
        return cls(read_json(path).get(heldout, {}) if path.exists() else {})

    def scores(self) -> dict[str, list[Scores]]:
        """Settings -> scores of each run."""
        return {settings: [run["scores"] for run in runs.values()] for settings, runs in self.known.items()}

    def items(self, settings: str, items: str, model: str) -> list[str]:
        """Hashes of the items of all runs of these settings, those of `model` as `own` says: it may be scored anew."""
        runs = self.known.get(settings, {}).values()
        return [items, *(run["items"] for run in runs if not _is_of(run, items, model))]


def _is_of(run: dict[str, Any], items: str, model: str) -> bool:
    """Whether a record is of this training: the same items, or the same model scored anew."""
    return run["items"] == items or (bool(model) and run.get("model") == model)


def paragraphs(now: Snapshot, rules: Mapping[str, GateRule]) -> dict[str, list[str]]:
    """Registered name -> the gate's last verdict on it and the noise of its seeds, as lines of the report."""
    by_model: dict[str, list[str]] = {}
    for branch, stage in STAGES.items():
        if stage not in now.lock:
            continue
        name = model_name(now, branch)
        verdict = paths.FINDINGS / "gate" / f"{name}.json"
        lines = list(read_json(verdict)["lines"]) if verdict.exists() else []
        if branch in rules:
            primary, runs = rules[branch].primary, SeedRuns.of(name, heldout_of(now)).scores()
            side = Side(settings_of(now, branch), [{}])
            if noise := seed_noise(primary, side, side, runs):
                lines.append(f"noise of seeds in {primary}: {noise.note}")
        if lines:
            by_model[name] = lines
    return by_model


def _path(name: str) -> Path:
    return paths.FINDINGS / "noise" / f"{name}.json"


def record(snapshots: Iterable[Snapshot], branch: str) -> None:
    """Add runs to what is known of their registered name, held-out set and settings."""
    cache = ObjectCache()
    for snapshot in snapshots:
        path = _path(model_name(snapshot, branch))
        known = read_json(path) if path.exists() else {}
        runs = known.setdefault(heldout_of(snapshot), {}).setdefault(settings_of(snapshot, branch), {})
        items, model = items_of(snapshot, cache, branch), model_of(snapshot, branch)
        for again in [name for name, run in runs.items() if _is_of(run, items, model)]:  # under another name
            del runs[again]
        runs[snapshot.name] = {"items": items, "model": model, "scores": scores_of(cache.fetched(items))}
        write_json(path, known)


def items_of(snapshot: Snapshot, cache: ObjectCache, branch: str) -> str:
    """Hash of the scored items of a snapshot's model.

    Raises `UserError`: it was never scored item by item, or the bytes are nowhere to be found.
    """
    return _file_of(snapshot, cache, branch, "items.parquet")


def has_items(snapshot: Snapshot, branch: str) -> bool:
    """Whether a model was scored item by item; classifiers once were not."""
    md5 = snapshot.outputs().get(f"{SCORED_BY[branch]}/details")
    return md5 is not None and "items.parquet" in ObjectCache().files(md5)


def scores_another(snapshot: Snapshot, branch: str) -> bool:
    """Whether the evaluation that a snapshot holds is of an earlier model of this kind than the one it holds."""
    if SCORED_BY[branch] != EVALUATE:  # scored by the stage that made it, when it did
        return False
    cache, md5, model = ObjectCache(), model_of(snapshot, branch), STAGES[branch].replace("@", "/")
    details = snapshot.outputs().get(f"{EVALUATE}/details")
    facts = cache.files(details).get("facts.json") if details else None
    if facts is None or not md5:
        return False
    models = read_json(cache.fetched(facts)).get("models", {})
    return cache.files(md5).get("model.safetensors") != models.get(model)  # one it doesn't name came after it


def _file_of(snapshot: Snapshot, cache: ObjectCache, branch: str, name: str) -> str:
    details = f"{SCORED_BY[branch]}/details"
    md5 = snapshot.outputs().get(details)
    if not md5:
        raise UserError(f"{snapshot.name}: not evaluated; run the pipeline there first")
    files = cache.files(md5)
    if name not in files:
        raise UserError(f"{snapshot.name}: {details} holds no {name}; run the pipeline there again")
    return files[name]


def scores_of(items: Path) -> dict[str, float]:
    """Score of every metric of an evaluation, over all its conditions and of each, `task/metric/condition`."""
    from components.statistics import mean_rows

    sums: dict[str, tuple[float, float]] = {}
    for name, rows in mean_rows(items).items():
        for (condition, _), row in rows.items():
            for key in (name, f"{name}/{condition}"):
                score, weight = sums.get(key, (0.0, 0.0))
                sums[key] = score + row["score"], weight + row["weight"]
    return {name: score / weight for name, (score, weight) in sums.items() if weight}


@dataclass(frozen=True)
class Compared:
    """Two snapshots of one kind of model: the items of all runs of each one's settings, and the noise of seeds."""

    items_a: list[Path]
    items_b: list[Path]
    sides: tuple[Side, Side]
    known: SeedRuns
    one_training: bool
    demo_size: bool
    model: str

    @classmethod
    def of(cls, a: Snapshot, b: Snapshot, branch: str) -> "Compared":
        """Each side's own run, and all runs of its settings and held-out set if those are not of the other side too."""
        cache, known = ObjectCache(), SeedRuns.of(model_name(b, branch), heldout_of(b))
        settings = settings_of(a, branch), settings_of(b, branch)
        one_training = model_of(a, branch) == model_of(b, branch) != ""
        items = []
        for key, snapshot in zip(settings, (a, b), strict=True):
            hashes = [items_of(snapshot, cache, branch)]
            if settings[0] != settings[1] and not one_training:
                hashes = known.items(key, hashes[0], model_of(snapshot, branch))
            items.append([cache.fetched(md5) for md5 in hashes])
        sides = [Side(key, [scores_of(path) for path in runs]) for key, runs in zip(settings, items, strict=True)]
        demo_size = has_demo_size(a, branch) and has_demo_size(b, branch)
        model = STAGES[branch].replace("@", "/")
        return cls(items[0], items[1], (sides[0], sides[1]), known, one_training, demo_size, model)

    def noise(self, metric: str) -> SeedNoise | None:
        """Seed noise of a metric in this comparison: none where both have the same model."""
        if self.one_training:
            return ONE_TRAINING
        return seed_noise(metric, *self.sides, self.known.scores())

    def noise_or_shipped(self, metric: str) -> SeedNoise | None:
        """Seed noise that was measured in four trainings or more, else the one that ships for models of this size."""
        measured = self.noise(metric)
        if self.one_training or not self.demo_size or (measured and measured.freedom >= LEAST_FREEDOM):
            return measured
        models = {row: row.removeprefix(f"{self.model} ") for row in shipped_spread()}
        spread = {name: shipped_spread()[row] for row, name in models.items() if name != row}
        return shipped_noise(spread, metric, *self.sides) or measured


def facts_of(snapshot: Snapshot, branch: str) -> dict[str, Any]:
    """What the stage that scores a snapshot's model reports beside its items: its scores, the tasks it skipped."""
    cache = ObjectCache()
    facts: dict[str, Any] = read_json(cache.fetched(_file_of(snapshot, cache, branch, "facts.json")))
    return facts


def evaluation(snapshot: Snapshot, items: list[Path], branch: str) -> Evaluation:
    """Evaluation of a snapshot as the gate takes it, with the items of its runs."""
    cache, facts = ObjectCache(), facts_of(snapshot, branch)
    metrics = flat(read_json(cache.fetched(snapshot.outputs()[f"{SCORED_BY[branch]}/metrics.json"])))
    return Evaluation(items, facts, metrics)
