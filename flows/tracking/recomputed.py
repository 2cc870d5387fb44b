"""What a check computes again of a model that a state records: its scores, its documents' licences; and its training.

Outputs are linked into a folder of their own, as the state has them, with the model that is checked in its place; the
stages' own code then reads them there.
"""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.core.errors import UserError
from components.core.files import md5_of, read_json
from components.core.plain_text import counted
from components.params import FURTHER, Files, Hub, Params, load
from components.stages.account.answers import DataAnswer, QualityAnswer
from components.stages.evaluate.tasks.task import Folders, Tuned
from components.studies.attestation.claims import Claims, shown
from components.studies.attestation.reread import against_sources
from components.studies.attestation.rescored import RELATIVE, TIES, Measured, difference, evaluated, tuned
from components.studies.attestation.verdict import NOTE, TRAINING, Finding
from flows.system import code_files, paths
from flows.tracking.environment_record import runs_of
from flows.tracking.mlflow_run import client
from flows.tracking.model_origin import lock_behind, verified_file
from flows.tracking.recorded_run import data_again, record_of
from flows.tracking.seed_runs import params_of
from flows.tracking.snapshots import ObjectCache, Snapshot
from flows.tracking.team_ledger import ledger_of

NO_RECORD = "neither the ledger here nor MLflow has a run that trained it, and nobody here has rebuilt it"
STAGED = ("data/", "models/", "reports/")


def link_outputs(state: Snapshot, root: Path, model: str, folder: Path) -> None:
    """Link data and models of a state into the empty folder `root`, `folder` in the place of `model`.

    Own rows and bases are linked from this checkout where they are as the state's stages read them;
    an output that is nowhere is left out.

    Raises:
        UserError: such rows or such a base are not here.
    """
    store, outs = ObjectCache(), state.outputs()
    here = state.kind == "workspace"
    for path, md5 in outs.items():
        if path == f"models/{model}" or not path.startswith(STAGED[:2]):
            continue
        found = {"": paths.ROOT / path} if here else {}
        with suppress(UserError):  # what is in no cache and no remote stays out
            if not here:
                objects = store.files(md5)
                store.pull(objects.values())
                found = {name: store.path(wanted) for name, wanted in objects.items()}
        for name, source in found.items():
            _link(root / path / name, source)
    _link(root / "models" / model, folder.resolve())
    read = {dep["path"]: dep["md5"] for stage in state.lock if stage.startswith("finetune@")
            for dep in state.lock[stage].get("deps", [])}  # fmt: skip
    for path, md5 in read.items():
        if path.startswith((*STAGED, *code_files.CODE)):
            continue
        if not (paths.ROOT / path).exists() or md5_of(paths.ROOT / path) != md5:
            raise UserError(f"{path}: not here as it was read then")
        _link(root / path, paths.ROOT / path)


def _link(target: Path, source: Path) -> None:
    if source.exists() and not target.exists():  # an absolute path below a folder is itself
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source)


# -- scores ------------------------------------------------------------------------------------------------------------


def scores(state: Snapshot, claims: Claims, root: Path, work: Path) -> Iterator[Finding]:
    """Measure the scores that claims state again, on the weights linked into `root`, and compare.

    Raises:
        UserError: this machine cannot, or what they were measured on is not here.
    """
    stated = claims.quality.scores if isinstance(claims.quality, QualityAnswer) else []
    if not stated or state.adopted:
        why = "by its own trainer, which no stage here repeats" if stated else "none is stated"
        yield Finding("scores", "recorded" if stated else "unknown", f"{counted(len(stated), 'score')}: {why}")
        return
    known, unlike = measured(params_of(state), claims, root, work), list[str]()
    missing = [score.name for score in stated if (score.name, score.model) not in known]
    for score in stated:
        if found := known.get((score.name, score.model)):
            unlike += filter(None, [difference(score, found)])
    yield from (Finding("scores", "no", line) for line in unlike)
    if missing:
        text = f"{counted(len(missing), 'score')} that no stage here measured again, such as {missing[0]}"
        yield Finding("scores", "unknown", text)
    elif not unlike:
        room = f"{RELATIVE:.1%} of a score, and {TIES} items of one that counts items"
        text = f"{counted(len(stated), 'score')}, measured again on these weights; within {room}"
        yield Finding("scores", "yes", text)


def measured(params: Params, claims: Claims, root: Path, work: Path) -> Measured:
    """Score of each (name, model) of those that claims state which a stage here measures."""
    assert isinstance(claims.quality, QualityAnswer)
    models, stages, stated = root / "models", params.finetune.stages(), claims.quality.scores
    further: dict[str, Tuned] = {
        name: Tuned(models / "finetune" / name, root / stages[name].base) for name in FURTHER if name in stages
    }
    heldout = root / "data/ingest/heldout"
    folders = Folders(
        models / "pretrain/causal", models / "pretrain/masked", models / "finetune/instruct",
        models / "finetune/classify", root / "data/mix", heldout, root / "data/tokenize", further,
    )  # fmt: skip
    tasks = {score.task for score in stated if score.measured_by == "evaluate"}
    known = evaluated(tasks, folders, params.evaluate, params.numerics, work)
    for name in {score.task for score in stated if score.is_tuned}:
        one, folder = stages[name], models / "finetune" / name
        of_branch = tuned(name, folder, root / one.base, root / one.data, heldout, one, params.numerics)
        known |= {(score, f"finetune/{name}"): value for score, value in of_branch.items()}
    return known


# -- licences ----------------------------------------------------------------------------------------------------------


def licences(state: Snapshot, claims: Claims, root: Path, work: Path) -> Iterator[Finding]:
    """Hold each document that the model was trained on against its source, as far as this checkout reaches it.

    Raises:
        UserError: a source is not here as it was.
    """
    if state.adopted:
        yield data_again(state)
        return
    if not isinstance(claims.data, DataAnswer):
        yield Finding("licences", "unknown", claims.data.not_known)
        return
    stage = next(stage for stage in ("bias", "filter", "dedup", "ingest") if stage in claims.stages)
    params, known = params_of(state), _stated_here()
    for place in {*map(_place, params.ingest.sources)} - known.keys():
        yield Finding("licences", "unknown", f"params.yaml here has no source {place}, and so no licence for it")
    sources = [one.model_copy(update=known.get(_place(one), {})) for one in params.ingest.sources]
    ingest = params.ingest.model_copy(update={"sources": sources})
    corpus, workers = root / f"data/{stage}/train", params.runtime.workers
    found = against_sources(corpus, ingest, paths.ROOT, work / "sources", workers)
    if found.heldout != state.outputs().get("data/ingest/heldout"):
        text = "the held-out set, cut again from the sources here, has other bytes: other sources, or another version"
        yield Finding("scores", "unknown", text)
    for told, counts in ((claims.data.licences, found.licences), (claims.data.sources, found.sources)):
        if told != counts:
            yield Finding("licences", "no", f"documents: signed {shown(told)}, in the corpus {shown(dict(counts))}")
    if found.unlike:
        count = counted(len(found.unlike), "document or package", "documents or packages")
        yield Finding("licences", "no", f"{count} not as the source has it, the first {found.unlike[0]}")
    if found.missing:
        text = f"{counted(len(found.missing), 'document')} in no source here, the first {found.missing[0]}"
        yield Finding("licences", "unknown", text)
    num, own = counted(found.licences.total(), "document"), found.by_owner
    word = f"; of {own:,} the licence is what params.yaml here says, the owner's word" if own else ""
    yield Finding("licences", "yes", f"{num}: each has the licence, origin and text that its source here has{word}")


def _stated_here() -> dict[str, dict[str, str]]:
    """Place of a source in params.yaml here -> the licence stated there; pins state those of packages."""
    sources = load(paths.PARAMS).ingest.sources
    return {_place(one): {"licence": one.licence} for one in sources if isinstance(one, Files | Hub)} | {"": {}}


def _place(source: Any) -> str:
    return getattr(source, "path", "") or getattr(source, "dataset", "")


# -- training ----------------------------------------------------------------------------------------------------------


def training(state: Snapshot, claims: Claims) -> Iterator[Finding]:
    """Whether the model was rebuilt here, else who recorded that it was trained, and when."""
    file, stage = verified_file(claims.md5), claims.model.replace("/", "@")
    last = read_json(file) if file.exists() else {}
    if last.get("result") == "identical" and last.get("dvc_lock") == lock_behind(state, claims.model):
        yield Finding(TRAINING, "yes", f"its training: rebuilt here on {last['at'][:10]} to the same bytes, by {stage}")
        return
    inputs = stage, state.fingerprints()[stage]
    spans = [span for span in ledger_of({inputs}).select(stage=stage, fingerprint=inputs[1]) if not span.is_phase]
    known = list[str]()
    if spans:
        hosts, day = ", ".join(sorted({span.host for span in spans})), f"{max(span.end for span in spans):%Y-%m-%d}"
        known = [f"the ledger: {counted(len(spans), 'run')} of these inputs on {hosts}, the last of {day}"]
    for run in runs_of(client(), *inputs)[:1]:
        day = f"{datetime.fromtimestamp(run.info.start_time / 1000, UTC):%Y-%m-%d}"
        user = run.data.tags.get("mlflow.user") or "nobody named"
        known.append(f"MLflow: run {run.info.run_name} of these inputs by {user}, {day}")
    if state.adopted and (record := record_of(state)):
        known += [f"the recorder: {counted(len(record.attempts), 'try', 'tries')} that left it"]
    yield from (Finding(TRAINING, "recorded", f"its training, by {one}; not signed") for one in known)
    if last:
        result = f"a rebuild of it here, of {last['at'][:10]}: {last['result']}"
        yield Finding(NOTE if known else TRAINING, "unknown", result)
    elif not known:
        yield Finding(TRAINING, "unknown", NO_RECORD)
