"""`greenhouse verify`: can a model be rebuilt bit for bit? Do it, from the commit, and compare every hash."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from components import params as schema
from components.core.errors import UserError
from flows.execution.experiment import refuse_untracked_sources
from flows.system import dvc, environment, git, params_file, paths, processes
from flows.tracking import environment_record, recorded_run, recovery
from flows.tracking.mlflow_run import client
from flows.tracking.model_origin import choose, record_verification
from flows.tracking.signed_folder import report
from flows.tracking.snapshots import ObjectCache, Snapshot

HASHED = ("data/", "models/")
"""Outputs that are compared; reports follow from them."""

# -- rebuilding --------------------------------------------------------------------------------------------------------


@contextmanager
def rebuild_worktree(recorded: Snapshot) -> Iterator[Path]:
    """A worktree of the recorded commit (the workspace: with its uncommitted changes), an empty cache, no dvc.lock."""
    if recorded.kind == "workspace":
        refuse_untracked_sources()
    with git.worktree(f"verify-{os.getpid()}", (recorded.commit or "HEAD").removesuffix("+changes")) as root:
        bring(recorded, root)
        (root / "dvc.lock").unlink(missing_ok=True)
        dvc.run("cache", "dir", "--local", str(root / ".dvc" / "rebuilt"), root=root)
        (root / ".greenhouse").mkdir()
        paths.LEDGER.mkdir(parents=True, exist_ok=True)
        (root / ".greenhouse" / "ledger").symlink_to(paths.LEDGER)
        yield root


def bring(recorded: Snapshot, root: Path) -> None:
    """What the recorded state has beyond its commit: uncommitted changes of the workspace, a run's parameters."""
    if recorded.kind == "workspace":
        git.copy_changes(root)
    else:
        if not (root / schema.DEFAULTS).exists():
            raise UserError(
                f"{recorded.name}: its commit is older than {schema.DEFAULTS}, so its parameters cannot be set; "
                "check that commit out and verify there"
            )
        current = schema.load(root / "params.yaml").model_dump(mode="json")
        wanted = schema.parse(schema.layout.overlaid(current, recorded.params()))
        params_file.write(root / "params.yaml", wanted)


def rebuild(root: Path, stages: list[str]) -> None:
    """Run the stages one after the other in the clean place, with a state folder of its own.

    Raises:
        UserError: one of them failed.
    """
    variables = environment.environment() | {
        "GREENHOUSE_STATE": str(root / ".greenhouse"),  # neither work folders to resume from, nor a record in MLflow
        "MLFLOW_TRACKING_URI": f"sqlite:///{root / '.greenhouse' / 'mlflow.db'}",
        "PREFECT_HOME": str(root / ".greenhouse" / "prefect"),
    }
    for name in ("PREFECT_API_URL", "GREENHOUSE_RUN"):
        variables.pop(name, None)
    began = time.monotonic()
    for number, stage in enumerate(stages, 1):
        print(f"rebuilding {stage}, {number} of {len(stages)}; {time.monotonic() - began:.0f} s so far", flush=True)
        command = dvc.command("repro", "--single-item", "--no-run-cache", "--force", stage)
        ends = processes.dies_with_parent()
        done = subprocess.run(command, cwd=root, env=variables, capture_output=True, text=True, preexec_fn=ends)
        if done.returncode:
            log = paths.LOGS / f"verify-{stage}.log"
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text(done.stdout + done.stderr)
            last = (done.stdout + done.stderr).strip().splitlines()[-1:]
            raise UserError(f"{stage} could not be rebuilt: {''.join(last)}; the whole log is {log}")


# -- comparing ---------------------------------------------------------------------------------------------------------


def first_difference(recorded: Snapshot, rebuilt: dict[str, dict], stages: list[str], root: Path) -> str:
    """The first stage and file whose bytes differ, with both hashes; empty if all are the same."""
    for stage in stages:
        old, new = (_outs(lock[stage]) for lock in (recorded.lock, rebuilt))
        for path in old:
            if old[path] != new.get(path):
                return f"{stage}: {_first_file(path, old[path], new.get(path, 'missing'), root)}"
    return ""


def _outs(entry: dict) -> dict[str, str]:
    return {out["path"]: out["md5"] for out in entry.get("outs", []) if out["path"].startswith(HASHED)}


def _first_file(path: str, old: str, new: str, root: Path) -> str:
    """The first file that differs inside an output, where the recorded listing is still in the cache."""
    try:
        before, after = ObjectCache().files(old), ObjectCache(root).files(new)
    except UserError:
        before, after = {"": old}, {"": new}
    name = min(name for name in before | after if before.get(name) != after.get(name))
    file = f"{path}/{name}".rstrip("/")
    return f"{file}: recorded {before.get(name, 'none')}, rebuilt {after.get(name, 'none')}"


def then_and_here(recorded: Snapshot, stage: str) -> list[str]:
    """What may explain a difference in `stage`: what is not as it was when the recorded bytes were made."""
    then = environment_record.recorded(client(), stage, recorded.fingerprints()[stage])
    here = environment_record.present()
    if then:
        return environment_record.differences(then, here) or ["the same processor and the same packages then and here"]
    compute = ("processor", "python", "torch", "numpy", "tokenizers", "scikit-learn", "pyarrow", "polars")
    return ["no record of where it was made (MLflow); here:", *(f"{name} {here.get(name, 'none')}" for name in compute)]


def rebuilt_alike(model: str, state_name: str) -> bool:
    """Rebuild and compare; prints what it finds. Returns whether all is identical."""
    recorded, goal = choose(model, state_name)
    if goal not in recorded.lock:
        raise UserError(f"{recorded.name}: dvc.lock has no stage {goal}; run the pipeline first, with it on")
    with rebuild_worktree(recorded) as root:
        stages = dvc.upstream(dvc.graph(root), goal)
        if missing := [stage for stage in stages if stage not in recorded.lock]:
            raise UserError(f"{recorded.name}: {', '.join(missing)} never ran there; run the pipeline first")
        print(f"{goal} as recorded by {recorded.name}, {len(stages)} stages", flush=True)
        rebuild(root, stages)
        difference = first_difference(recorded, dvc.lock(root), stages, root)
    record_verification(recorded, goal, difference, environment_record.present())
    compared = sum(len(_outs(recorded.lock[stage])) for stage in stages)
    print(f"differs: {difference}" if difference else f"identical: {compared} outputs of {len(stages)} stages")
    if difference:
        for line in then_and_here(recorded, difference.split(":")[0]):
            print(f"    {line}")
        print("On another kind of processor, or with other versions, bits of trained models may differ; losses agree.")
    return not difference


def verify(
    model: str,
    /,
    *,
    at: str = "workspace",
    key: Path | None = None,
    scope: Literal["all", "bytes"] = "all",
    quick: bool = False,
) -> int:
    """Rebuild a model bit for bit, from the commit, and compare every hash; or check a signed folder.

    greenhouse verify causal                          a model of the workspace
    greenhouse verify pretrain@causal --at v1.0       as a git revision, DVC experiment or pipeline run recorded it
    greenhouse verify greenhouse-causal-2@champion    a registered model
    greenhouse verify FOLDER --key KEY.pub            what `greenhouse export --to signed` made, here or elsewhere
    greenhouse verify FOLDER --key KEY.pub --quick            without measuring its scores again
    greenhouse verify FOLDER --key KEY.pub --scope bytes      signature and bytes, where nothing is recorded of it

    The stages behind the model run again in a clean worktree of the commit, with an empty cache and no dvc.lock, so
    that nothing can be taken from anywhere. Prints `identical` (exit status 0), or the first stage and file that
    differ, with both hashes, and what of processor and packages is not as it was then (exit status 1). The energy goes
    to the ledger, under `verify-...`.

    The check of a folder does not believe the signer. It lists what was recomputed here (hashes; each document's
    licence and text, read from its source again; the scores, measured again on these weights, in seconds to minutes),
    what is recorded, by whom, when and whether signed, and what is not established. A record is the word of whoever can
    write it. Exit status:

    0    established: all of it, and the model was rebuilt here (`greenhouse verify MODEL`) to the same bytes
    1    something differs
    2    something is not established, such as a training that no ledger, run of MLflow or rebuild here has
    3    all is right that was computed again, and the training, or an adopted model's scores, are on record alone

    With `--scope bytes` signature and bytes are enough for 0, for whoever has nothing but folder and key.

    Args:
        model: causal, masked, instruct, prefer, classify, pretrain@causal, a registered name@alias, or a folder.
        at: workspace (default), a git revision, an experiment, a run.
        key: the signer's public key, for a folder.
        scope: all (default), or bytes: of a folder establish signature and bytes alone.
        quick: do not measure the scores of a folder again.
    """
    if (folder := Path(model)).is_dir():
        if at != "workspace":
            raise UserError(f"{model}: a folder, which is checked as it lies there; leave --at out")
        return report(folder, key, scope, quick)
    if key is not None or scope != "all" or quick:
        raise UserError(f"--key, --scope and --quick go with a signed folder, and {model} is none; leave them out")
    state, stage = choose(model, at)
    if state.adopted:
        return recorded_run.verify(state, stage)
    recovery.recover_records()
    return 0 if rebuilt_alike(model, at) else 1
