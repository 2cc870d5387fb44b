"""Which models there are, and how often each was trained on a document: counted from the data order, not estimated.

A model is known by the dvc.lock of the state that made it: the workspace's, a DVC experiment's,
that of a pipeline run in MLflow. From it follow the tokens it was trained on (in the workspace or
DVC's cache) and the order it saw them in.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np

from components.core.errors import UserError
from components.core.files import read_json
from components.lineage.documents import DocumentLocation, Traced, View, span_of, text_at
from components.lineage.exposure import Training, times_seen
from flows.system import dvc, environment, paths
from flows.tracking import snapshots
from flows.tracking.mlflow_run import client, name_of
from flows.tracking.snapshots import Snapshot

# -- where files are ---------------------------------------------------------------------------------------------------


def workspace_view(path: str) -> Path | None:
    """A file of the pipeline as it lies here; in a fresh clone, as DVC's cache has it by the hashes of dvc.lock."""
    file = paths.ROOT / path
    return file if file.exists() else _locked_view()(path)


@cache
def _locked_view() -> View:
    return snapshots.files_of(Snapshot("workspace", "workspace", dvc.lock()), pull=False)


# -- models ------------------------------------------------------------------------------------------------------------


@dataclass
class Model:
    """A pretrained model: its names, how it was trained, and files of the state that made it."""

    branch: str
    names: list[str]
    state: Snapshot
    view: View
    mix: str
    """Hash of the mixture it was trained on: models of one mixture are traced together."""
    problem: str = ""
    training: Training | None = field(default=None)


def models() -> list[Model]:
    """Every distinct pretrained model of the workspace, of DVC's experiments and of the pipeline runs in MLflow."""
    known: dict[tuple[str, str], Model] = {}
    registered = _registered()
    for state in states():
        view = workspace_view if state.kind == "workspace" else snapshots.files_of(state, pull=False)
        for branch in ("causal", "masked"):
            if f"pretrain@{branch}" not in state.lock:
                continue
            fingerprint = state.fingerprints()[f"pretrain@{branch}"]
            if (branch, fingerprint) not in known:
                known[branch, fingerprint] = _model(branch, [*registered.get(fingerprint, [])], state, view)
            known[branch, fingerprint].names.append(state.name)
    return list(known.values())


def states() -> Iterator[Snapshot]:
    """The workspace, DVC's experiments, and the pipeline runs in MLflow that finished."""
    if lock := dvc.lock():
        yield Snapshot("workspace", "workspace", lock)
    for name in snapshots.experiments():
        yield snapshots.find(name)
    if not _has_mlflow():
        return
    mlflow = client()
    experiment = mlflow.get_experiment_by_name(paths.EXPERIMENT)
    for run in mlflow.search_runs([experiment.experiment_id]) if experiment else []:
        if "mlflow.parentRunId" not in run.data.tags:
            try:
                yield snapshots._of_record(name_of(run), mlflow, run)
            except UserError:  # a run that did not finish made no model that is known by its lock
                continue


def _has_mlflow() -> bool:
    return "MLFLOW_TRACKING_URI" in environment.running_servers() or (paths.STATE / "mlflow.db").exists()


def _registered() -> dict[str, list[str]]:
    """Fingerprint of inputs -> names of registered models made from them (`name v2 @champion`)."""
    names: dict[str, list[str]] = {}
    for version in client().search_model_versions("") if _has_mlflow() else []:
        known = client().get_model_version(version.name, version.version)
        aliases = "".join(f" @{alias}" for alias in known.aliases)
        names.setdefault(known.tags.get("fingerprint", ""), []).append(f"{version.name} v{version.version}{aliases}")
    return names


def _model(branch: str, names: list[str], state: Snapshot, view: View) -> Model:
    """The model of a state, with its training if all that follows from is known."""
    outputs = state.outputs()
    used = {dep["path"]: dep["md5"] for dep in state.lock[f"pretrain@{branch}"]["deps"]}
    model = Model(branch, names, state, view, outputs.get("data/mix", ""))
    facts, tokens = view(f"models/pretrain/{branch}/greenhouse.json"), view("data/tokenize/train/manifest.json")
    if used.get("data/tokenize") != outputs.get("data/tokenize") or not tokens_fit(state):
        model.problem = "was trained on other tokens than its state records now; run the pipeline there"
    elif facts is None or tokens is None:
        model.problem = "its files are neither here nor in DVC's cache"
    else:
        model.training = Training.of(read_json(facts), read_json(tokens)["num_tokens"], branch == "causal")
    return model


# -- exposure ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stretch:
    """Where a document (or a passage in it) lies in the token shards: global token indices from `start` to `end`."""

    shard: str
    start: int
    end: int
    in_shard: int
    of_passage: bool = False


def tokens_fit(state: Snapshot) -> bool:
    """Whether a state's tokens were made from the mixture that it records."""
    used = {dep["path"]: dep["md5"] for dep in state.lock.get("tokenize", {}).get("deps", [])}
    return "data/mix" in used and used["data/mix"] == state.outputs().get("data/mix")


def stretch_of(location: DocumentLocation, view: View) -> Stretch | None:
    """Tokens of a document of the mixture: corpus shard k is token shard k, rows are in the same order.

    Args:
        view: files of the state in which the document has this location.
    """
    path = view("data/tokenize/train/manifest.json")
    rows = read_json(path)["shards"] if path else []
    starts = view(f"data/tokenize/train/{rows[location.shard]['documents']}") if rows else None
    if starts is None:
        return None
    before = sum(row["num_tokens"] for row in rows[: location.shard])
    offsets = np.load(starts, allow_pickle=False)
    start, end = int(offsets[location.row]), int(offsets[location.row + 1])
    return Stretch(rows[location.shard]["tokens"], before + start, before + end, start)


def narrowed(stretch: Stretch, location: DocumentLocation, view: View, passage: str) -> Stretch:
    """Tokens of a passage in its document; all of the document's if they cannot be told apart."""
    import tokenizers

    span, path = span_of(passage, text := text_at(location, view)), view("data/tokenize/tokenizer.json")
    if span is None or path is None:
        return stretch
    offsets = tokenizers.Tokenizer.from_file(str(path)).encode(text).offsets
    inside = [index for index, (first, last) in enumerate(offsets) if first < span[1] and last > span[0]]
    if len(offsets) + 1 != stretch.end - stretch.start or not inside:
        return stretch
    begin = stretch.start + 1 + inside[0]  # the document begins with a separator
    return replace(stretch, start=begin, end=begin + len(inside), of_passage=True)


@dataclass(frozen=True)
class Seen:
    """How often a model trained on the tokens of a passage or document, all copies together."""

    model: str
    branch: str
    tokens: int
    of_passage: bool
    least: int
    mean: float
    most: int
    untouched: float
    epochs: float
    copies: int

    def line(self) -> str:
        """For a person."""
        unit = "tokens of the passage" if self.of_passage else "tokens"
        copies = f" in {self.copies} copies" if self.copies > 1 else ""
        head = f"{self.branch} ({self.model}): {self.tokens} {unit}{copies}"
        if not self.most:
            return f"{head}, never trained on (the run read its text {self.epochs:.2f} times)"
        never = f", {self.untouched:.0%} of them never" if self.untouched else ""
        return (
            f"{head}, each trained on {self.mean:.2f} times on average ({self.least} to {self.most}{never}; "
            f"the run read its text {self.epochs:.2f} times)"
        )


def seen_by(model: Model, document: Traced, passage: str = "") -> Seen | str:
    """How often a model was trained on a document (on the passage in it, if one is given); or why that is not known."""
    name = ", ".join(dict.fromkeys(model.names))
    if model.training is None:
        return f"{model.branch} ({name}): not known: {model.problem}"
    known = [(location, stretch) for location in document.trained if (stretch := stretch_of(location, model.view))]
    if not known:
        return f"{model.branch} ({name}): not in its training text"
    parts = [narrowed(part, location, model.view, passage) if passage else part for location, part in known]
    times = np.concatenate([times_seen(model.training, part.start, part.end) for part in parts])
    return Seen(
        name, model.branch, len(times), all(part.of_passage for part in parts), int(times.min()), float(times.mean()),
        int(times.max()), float((times == 0).mean()), model.training.epochs, len(parts),
    )  # fmt: skip
