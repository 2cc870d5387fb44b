"""The check of a signed folder of a model: what is recomputed of it here, what is recorded and by whom, what is open.

The check does not believe the signer. It hashes the files, makes every file of claims again from
card.json, looks for the model in the dvc.lock of a state of this checkout, hashes the outputs of
the stages behind it again, collects the claims again, and asks the list of withdrawn models. Where
nothing differs so far it reads the sources of the documents again, and measures the scores again.
Whatever it cannot do leaves an item of the verdict open.
"""

import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from components.core.errors import UserError, clause
from components.core.files import raise_if_linked_out
from components.core.plain_text import counted, plain_name
from components.stages.account.model_answers import stages_behind
from components.studies.adoption import UNRECORDED, strangers
from components.studies.attestation.claims import Claims, compared, halves, is_unknown
from components.studies.attestation.renderings import claims_in, differences
from components.studies.attestation.verdict import NOTE, TRAINING, Answer, CheckVerdict, Finding, Scope
from components.studies.withdrawn import FILE, withdrawals, withdrawn
from flows.system import paths
from flows.tracking import attestation
from flows.tracking.model_origin import tunings_of
from flows.tracking.recorded_run import record_of
from flows.tracking.signature import signed_by
from flows.tracking.snapshots import Snapshot

NOT_RECOMPUTED = "the figures were not recomputed"
"""First line of a check of the bytes alone."""
OTHER_RUNS = "another run of the same inputs, or another time, may be why: no check can tell"
FIRST: dict[Answer, str] = {
    "no": "not what this checkout can measure or has on record",
    "unknown": "nobody here can tell whether this model was trained as claimed",
    "recorded": "its training is on record, by those named below; nobody here has repeated it",
    "yes": "trained as claimed: rebuilt here to the same bytes",
}
"""First line of a check of all, by what is known of the training; `no` for any difference."""


def check(folder: Path, key: Path | None, scope: Scope = "all", quick: bool = False) -> CheckVerdict:
    """What of a signed folder is recomputed here, what is recorded, and what is not established.

    Args:
        key: the signer's public key; without one the signature stays open.
        scope: `bytes` for whoever has nothing but the folder and the key.
        quick: do not measure the scores again, which then stay open.

    Raises:
        UserError: the key cannot be read.
    """
    findings = [signed_by(folder, key)]
    try:
        raise_if_linked_out(folder)
        claims = claims_in(folder)
        wrong = differences(folder, claims)
    except Exception as error:  # claims of a stranger: whatever they make the code do, it is not what export writes
        return CheckVerdict([*findings, Finding("bytes", "no", clause(error))], scope)
    findings += [Finding("bytes", "no", line) for line in wrong]
    if not wrong:
        files = counted(len(claims.files), "file")
        findings.append(Finding("bytes", "yes", f"{files} of the model, and what card.json makes, as bytes"))
    findings.append(_standing(claims.md5))
    if scope == "all":
        state = attestation.state_with(claims.model, claims.md5, claims.lock)
        if state is None:
            why = f"no dvc.lock here records models/{claims.model} as {claims.md5}"
            return CheckVerdict([*findings, Finding("chain", "unknown", why)], scope)
        findings += _tried("chain", collected, state, claims)
        if not any(finding.answer == "no" for finding in findings):  # what differs need not be measured
            findings += _again(state, claims, folder, quick)
    return CheckVerdict(findings, scope)


def _tried(item: str, look: Callable[..., Iterable[Finding]], *given: Any) -> Iterator[Finding]:
    """Findings, and an open one for an error: a damaged record or a silent server is never taken as right."""
    try:
        yield from look(*given)
    except Exception as error:
        yield Finding(item, "unknown", f"stopped by an error: {clause(error)}")


def _again(state: Snapshot, claims: Claims, folder: Path, quick: bool) -> Iterator[Finding]:
    """What is computed again of a model that a state records as its folder does."""
    from flows.tracking import recomputed  # it imports the stages, and so torch

    paths.WORK.mkdir(parents=True, exist_ok=True)
    state = attestation.with_its_files(state)
    with tempfile.TemporaryDirectory(dir=paths.WORK) as place:
        root, work = Path(place) / "root", Path(place) / "work"
        try:
            recomputed.link_outputs(state, root, claims.model, folder)
        except UserError as error:
            yield Finding(NOTE, "unknown", clause(error))
        yield from _tried("licences", recomputed.licences, state, claims, root, work)
        if quick:
            yield Finding("scores", "unknown", "not measured again (--quick)")
        else:
            yield from _tried("scores", recomputed.scores, state, claims, root, work)
    yield from _tried(TRAINING, recomputed.training, state, claims)


def _standing(md5: str) -> Finding:
    """Whether the model is on this checkout's list of withdrawn ones."""
    if (listed := withdrawals(paths.ROOT)) is None:
        return Finding("standing", "unknown", f"there is no {FILE} here")
    if why := withdrawn(paths.ROOT, md5):
        return Finding("standing", "no", f"the model is {why}")
    return Finding("standing", "yes", f"not among the {len(listed)} models of {FILE}")


def collected(state: Snapshot, claims: Claims) -> Iterator[Finding]:
    """What can be collected here again: the chain of stages, their outputs by their hashes, and the claims."""
    is_here, state = state.kind == "workspace", attestation.with_its_files(state)
    behind = stages_behind(claims.model, tunings_of(state))
    lock = {name: state.lock[name] for name in (*behind, "evaluate") if name in state.lock}
    yield Finding(NOTE, "recorded", attestation.author_of(state))
    hashed = list(attestation.rehashed(lock, is_here))  # first: it fetches the listings that the chain is read from
    yield from [_recorded(state, claims)] if state.adopted else attestation.chain(state.name, behind, lock)
    for path, md5 in replace(state, lock=lock).outputs().items():
        if md5 != claims.md5 and (why := withdrawn(paths.ROOT, md5)):
            yield Finding("standing", "no", f"{path}, behind the model, is {why}")
    yield from hashed
    fingerprint = state.fingerprints()[claims.model.replace("/", "@")]
    yield from attestation.mlflow_copies(fingerprint, claims.md5, claims.files)
    yield from _figures(state, claims)


def _recorded(state: Snapshot, claims: Claims) -> Finding:
    """Whether the run of an adopted model was recorded, in a chain that is whole and ends with these files."""
    try:
        record = record_of(state)
    except UserError as error:
        return Finding("chain", "no", clause(error))
    if not record:
        return Finding("chain", "unknown", UNRECORDED)
    if names := strangers(claims.files, record):
        return Finding("chain", "no", f"{names[0]}: no file that the recorded run left")
    return Finding("chain", "recorded", f"a record of {len(record.attempts)} tries, whole, that ends with these files")


def _figures(state: Snapshot, claims: Claims) -> Iterator[Finding]:
    """The claims, collected again and compared part by part; what is equal since nobody recorded it is no success."""
    again = attestation.claims_of(state, claims.model.replace("/", "@"), claims.owner)
    (there, stated), (here, known) = halves(claims), halves(again)
    yield from compared(there, here)
    what = f"{len(again.lock)} stages with their parameters, and the other claims, as dvc.lock and its files have them"
    yield Finding("parameters", "recorded" if again.lock else "unknown", what)
    for part, value in stated.items():
        texts = [finding.text for finding in compared(value, known[part], part)]
        if part == "owner" or (is_unknown(known[part]) and not known[part]["is_none"]):
            if value and (part == "owner" or value != known[part]):  # the owner's fields here are the folder's own
                yield Finding(NOTE, "unknown", f"{part}: said by the signer alone")
        elif texts:
            yield Finding(NOTE, "recorded", f"{texts[0]}; {OTHER_RUNS}")
        else:
            yield Finding(NOTE, "recorded", f"{part}: by the signer, and the records here have the same")


def report(folder: Path, key: Path | None, scope: Scope = "all", quick: bool = False) -> int:
    """Print what a check finds; the exit status."""
    if scope == "all" and not quick:
        print("measures scores again, seconds to minutes; --quick does not", file=sys.stderr, flush=True)
    verdict = check(folder, key, scope, quick)
    print(NOT_RECOMPUTED if scope == "bytes" else FIRST["no" if verdict.wrong else verdict.answer(TRAINING)])
    for title, lines in verdict.lists().items():
        if lines:
            print(f"{title}:", *(f"    {plain_name(line)}" for line in dict.fromkeys(lines)), sep="\n")
    print(plain_name(f"{folder}: {conclusion(verdict)}"))
    return verdict.status


def conclusion(verdict: CheckVerdict) -> str:
    """The last line, as a clause."""
    if verdict.wrong:
        return f"differs in {len(verdict.wrong)} places"
    if verdict.open_items:
        return f"no claim differs, and not established is: {', '.join(verdict.open_items)}"
    if verdict.scope == "bytes":
        return f"signed by this key, and these bytes; {NOT_RECOMPUTED}"
    if verdict.status:
        known = " and ".join(verdict.on_record)
        return f"signed by this key, and right as far as it was computed again; by the records named alone: {known}"
    return "signed by this key, and established here; what is recorded rests on the word of those named"
