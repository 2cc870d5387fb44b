"""The check of a signed folder of a model: what can be established of it here, by recomputation alone.

The check does not believe the signer. It hashes the files, makes every file of claims again from
card.json, looks for the model in the dvc.lock of a state of this checkout, hashes the outputs of
the stages behind it again, collects the claims again, and asks the list of withdrawn models.
Whatever it cannot do leaves an item of the verdict open.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from components.core.errors import UserError, clause
from components.core.files import raise_if_linked_out
from components.core.plain_text import counted, plain_name
from components.stages.account.model_answers import stages_behind
from components.studies.adoption import UNRECORDED, strangers
from components.studies.attestation.claims import Claims, compared, halves
from components.studies.attestation.renderings import claims_in, differences
from components.studies.attestation.verdict import STATED, CheckVerdict, Finding, Scope
from components.studies.withdrawn import FILE, withdrawals, withdrawn
from flows.system import paths
from flows.tracking import attestation
from flows.tracking.model_origin import tunings_of
from flows.tracking.recorded_run import data_again, record_of
from flows.tracking.signature import signed_by
from flows.tracking.snapshots import Snapshot

NOT_RECOMPUTED = "the figures were not recomputed"
"""First line of a check of the bytes alone."""
OTHER_RUNS = "another run of the same inputs, or another time, may be why: no check can tell"


def check(folder: Path, key: Path | None, scope: Scope = "all") -> CheckVerdict:
    """What is established of a signed folder, what its signer states, and what is not established.

    Args:
        key: the signer's public key; without one the signature stays open.
        scope: `bytes` for whoever has nothing but the folder and the key.

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
        try:
            for finding in recomputed(claims):
                findings.append(finding)
        except Exception as error:  # a damaged record, a server that does not answer: open, and never taken as right
            findings.append(Finding("chain", "unknown", f"stopped by an error: {clause(error)}"))
    return CheckVerdict(findings, scope)


def _standing(md5: str) -> Finding:
    """Whether the model is on this checkout's list of withdrawn ones."""
    if (listed := withdrawals(paths.ROOT)) is None:
        return Finding("standing", "unknown", f"there is no {FILE} here")
    if why := withdrawn(paths.ROOT, md5):
        return Finding("standing", "no", f"the model is {why}")
    return Finding("standing", "yes", f"not among the {len(listed)} models of {FILE}")


def recomputed(claims: Claims) -> Iterator[Finding]:
    """What can be collected here again: the chain of stages, their outputs by their hashes, and the claims."""
    state = attestation.state_with(claims.model, claims.md5, claims.lock)
    if state is None:
        yield Finding("chain", "unknown", f"no dvc.lock here records models/{claims.model} as {claims.md5}")
        return
    is_here, state = state.kind == "workspace", attestation.with_its_files(state)
    behind = stages_behind(claims.model, tunings_of(state))
    lock = {name: state.lock[name] for name in (*behind, "evaluate") if name in state.lock}
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
    return Finding("chain", "yes", f"a record of {len(record.attempts)} tries, whole, that ends with these files")


def _figures(state: Snapshot, claims: Claims) -> Iterator[Finding]:
    """The claims, collected again and compared part by part; what is equal since nobody recorded it is no success."""
    again = attestation.claims_of(state, claims.model.replace("/", "@"), claims.owner)
    (there, stated), (here, known) = halves(claims), halves(again)
    yield from compared(there, here)
    licences = getattr(again.data, "licences", {}) or ([again.licence] if isinstance(again.licence, str) else [])
    counted = {"parameters": (again.lock, "stages with their parameters"),
               "scores": (getattr(again.quality, "scores", []), "scores"),
               "licences": (licences, "licences, with the counts of documents")}  # fmt: skip
    if state.adopted:
        counted.pop("licences")
        yield data_again(state)
    for item, (evidence, noun) in counted.items():
        yield Finding(item, "yes" if evidence else "unknown", f"{len(evidence)} {noun}")
    for part, value in stated.items():
        texts = [finding.text for finding in compared(value, known[part], part)]
        text = f"{texts[0]}; {OTHER_RUNS}" if texts else f"{part}: the records here say nothing else"
        yield Finding(STATED, "unknown", text)


def report(folder: Path, key: Path | None, scope: Scope = "all") -> int:
    """Print what a check finds; the exit status."""
    verdict = check(folder, key, scope)
    if scope == "bytes":
        print(NOT_RECOMPUTED)
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
    return "signed by this key, and established here as listed; what the signer states rests on the signer's word"
