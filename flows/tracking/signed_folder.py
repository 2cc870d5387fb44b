"""A signed folder of a model: what is in it, by what its documents are validated, and the check of one.

The check does not believe the signer: it makes every document anew, from the files and from what can be collected here.
"""

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from components.core.errors import UserError
from components.core.files import folder_md5, md5_file, read_fields, read_json, sha256_file
from flows.system import git
from flows.tracking.model_origin import names_of
from flows.tracking.signature import EXTRA, SIGNATURE, signed_by, words

NO_RECORD = "dvc.lock: nothing here records these bytes, so its hashes are read from the folder"
PROOF, CARD = "proof", ("README.md", "ATTRIBUTION.md", "card.json")


def this_version() -> str:
    """Commit of the code that makes the documents; `+changes` if tracked files differ from it."""
    changed = git.answer("status", "--porcelain", "--untracked-files=no", "--", "components", "flows")
    return (git.answer("rev-parse", "HEAD") or "not known") + "+changes" * bool(changed)


def validated(name: str, path: Path) -> str:
    """By what a document was validated, or that it was not.

    Raises:
        UserError: it does not conform.
    """
    if name.endswith(".cdx.json"):
        from cyclonedx.schema import SchemaVersion
        from cyclonedx.validation.json import JsonStrictValidator
        from jsonschema.validators import Draft7Validator

        Draft7Validator.FORMAT_CHECKER.checks("iri-reference")(is_iri_reference)
        if error := JsonStrictValidator(SchemaVersion.V1_7).validate_str(path.read_text()):
            raise UserError(f"{name}: not valid CycloneDX 1.7 (a mistake in Greenhouse): {error}"[:500])
        return "valid CycloneDX 1.7, by cyclonedx-python-lib's strict validator"
    if name == "croissant.json":
        import logging

        from mlcroissant import Dataset

        logging.getLogger("absl").setLevel(logging.ERROR)  # it recommends fields that have no answer
        try:
            Dataset(jsonld=read_json(path))
        except Exception as error:
            raise UserError(f"{name}: not valid Croissant (a mistake in Greenhouse): {error}"[:500]) from None
        return "valid Croissant 1.1, by mlcroissant"
    return "not validated: there is no validator in a package; the check recomputes it"


def is_iri_reference(value: object) -> bool:
    """Whether a text is an IRI reference: the URI reference that RFC 3987, 3.1, makes of it is one.

    jsonschema would ask rfc3987-syntax, if installed: every process that imports Prefect then starts 1.8 s later.
    """
    from rfc3986_validator import validate_rfc3986

    if not isinstance(value, str):
        return True
    as_uri = "".join(one if one.isascii() else quote(one) for one in value)
    return bool(validate_rfc3986(as_uri, rule="URI_reference"))


def check(folder: Path, key: Path | None) -> tuple[list[str], list[str], list[str]]:
    """What agrees, what is wrong, and what could not be checked, in words.

    Raises:
        UserError: it is no such folder, or the key cannot be read.
    """
    from components.studies.attestation.claims import Claims

    try:
        attested = read_fields(folder / PROOF / "claims.json", "get a whole copy")
        recorded = Claims.model_validate(attested)
    except (OSError, ValueError, UserError) as error:
        raise UserError(
            f"{folder}: not an attested model, or a damaged one ({words(error)}); get a whole copy of what "
            "`--out FOLDER` made"
        ) from None
    good, wrong, unreached = signed_by(folder, key)
    bad = [name for name, digest in recorded.files.items() if not _is(folder / name, digest)]
    extra = [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if (path.is_file() or path.is_symlink())
        and str(path.relative_to(folder)) not in (*recorded.files, *CARD, SIGNATURE)
        and path.parent != folder / PROOF
    ]
    wrong += [f"{name}: not the file that was attested" for name in bad] + [
        f"{name}: was not attested" for name in extra
    ]
    good += [f"{len(recorded.files) - len(bad)} files of the model"]
    for part in (_documents(folder, recorded), _sources(folder, recorded, attested)):
        good, wrong, unreached = good + part[0], wrong + part[1], unreached + part[2]
    return good, list(dict.fromkeys(wrong)), list(dict.fromkeys(unreached))


def _is(path: Path, digest: str) -> bool:
    return path.is_file() and sha256_file(path) == digest


def _documents(folder: Path, recorded: Any) -> tuple[list[str], list[str], list[str]]:
    """Whether the documents and the card are what the claims in the folder make them."""
    from components.stages.account.model_card import write_card
    from components.studies.attestation.claims import compared
    from components.studies.attestation.documents import documents

    wrong, made = list[str](), documents(recorded)
    for name, content in made.items():
        path = folder / PROOF / name
        try:
            there = read_json(path)
        except (OSError, ValueError):
            wrong.append(f"{PROOF}/{name}: cannot be read")
            continue
        wrong += [f"{PROOF}/{name}: {line.removeprefix(': ')}" for line in compared(there, content)[0]]
    try:
        index = read_json(folder / PROOF / "index.json")
        # A document that differs is named already, and no validator has to read it.
        same = [name for name in made if not any(line.startswith(f"{PROOF}/{name}:") for line in wrong)]
        formats = {name: validated(name, folder / PROOF / name) for name in same}
        formats |= {name: index["documents"][name] for name in made if name not in same}
        maker = {name: index[name] for name in ("greenhouse",) if name in index}  # it may say why documents differ
        differs = compared(index, {"model": recorded.answers.model, "documents": formats} | maker)[0]
        wrong += [f"{PROOF}/index.json: {line.removeprefix(': ')}" for line in differs]
    except ImportError:
        return [], wrong, [f"{PROOF}/index.json: {EXTRA}"]
    except (OSError, ValueError, TypeError, KeyError, UserError) as error:
        wrong.append(f"{PROOF}/index.json: not what attest writes ({words(error)})")
    known = {*made, "index.json"}
    wrong += [f"{PROOF}/{path.name}: was not attested" for path in (folder / PROOF).iterdir() if path.name not in known]
    with tempfile.TemporaryDirectory() as aside:
        write_card(recorded.answers, Path(aside))
        wrong += [
            f"{name}: not what the claims make it"
            for name in CARD
            if not _is(folder / name, sha256_file(Path(aside) / name))
        ]
    return [f"{len(made)} documents and the card made anew from the claims"], wrong, []


def _sources(folder: Path, recorded: Any, attested: dict[str, Any]) -> tuple[list[str], list[str], list[str]]:
    """Whether the claims are what can be collected here: files by their hashes, the ledger, MLflow."""
    from components.studies.attestation.claims import compared
    from flows.tracking import attestation
    from flows.tracking.snapshots import Snapshot

    model, md5 = recorded.answers.model, recorded.md5
    stage, unreached = model.replace("/", "@"), list[str]()
    own = folder_md5({name: md5_file(folder / name) for name in recorded.files if (folder / name).is_file()})
    wrong = [] if own == md5 else [f"models/{model}: the files of the folder have the hash {own}, not {md5}"]
    # Several states may hold these bytes, as an experiment that tuned another model does: the attested one first.
    one = attestation.state_of(lambda state: recorded.lock.items() <= state.lock.items()) or attestation.state_of(
        lambda state: state.outputs().get(f"models/{model}") == md5
    )
    if one is None:
        one = Snapshot("the attestation", "revision", recorded.lock)
        made = one.fingerprints().get(stage)
        if twin := attestation.state_of(lambda state: state.fingerprints().get(stage) == made):
            wrong.append(f"models/{model}: from the same inputs {twin.name} has {twin.outputs()[f'models/{model}']}")
        unreached.append(NO_RECORD)
    is_here, one = one.kind == "workspace", attestation.with_its_files(one)
    lock = {name: one.lock[name] for name in recorded.lock if name in one.lock}
    count, bad, gone = attestation.rehashed(lock, is_here)
    agree, other = attestation.code_of(lock)
    copies, unlike, away = attestation.mlflow_copies(one.fingerprints().get(stage, ""), md5, recorded.files)
    wrong += attestation.chain(lock) + bad + unlike
    unreached += gone + away
    if other:
        unreached.append(f"inputs: not here as recorded: {', '.join(other)}; check out the commit that recorded them")
    try:
        here = attestation.claims_of(one, stage, names_of(one, model), recorded.owner).model_dump(mode="json")
        differs, unknown = compared(attested, here)
        wrong, unreached = wrong + differs, unreached + unknown
    except (UserError, ValueError, KeyError, TypeError) as error:  # a record that is damaged is named above
        unreached.append(f"fields: {words(error)}")
    good = [
        f"{count} files hashed again by dvc.lock",
        f"{agree} inputs of code and settings",
        f"{copies} copies in MLflow",
    ]
    return good, wrong, unreached


def report(folder: Path, key: Path | None) -> int:
    """Print what a check finds; the exit status."""
    good, wrong, unreached = check(folder, key)
    for title, lines in (("recomputed", good), ("NOT as attested", wrong), ("could not be checked here", unreached)):
        if lines:
            print(f"{title}:", *(f"    {line}" for line in lines), sep="\n")
    if wrong:
        print(f"{folder}: differs in {len(wrong)} places")
        with suppress(OSError, ValueError, TypeError, AttributeError):
            maker = read_json(folder / PROOF / "index.json").get("greenhouse", "of an earlier commit")
            if maker != (here := this_version()):
                print(f"attested by Greenhouse {maker:.50}, checked by {here}: documents may differ by that")
        return 1
    limit = f", but not all could be checked: see above ({len(unreached)})" if unreached else ""
    if any(line.startswith(SIGNATURE) for line in unreached):
        print(f"{folder}: nothing differs{limit}, but the signature was not checked: anybody may have made it")
        return 2
    if NO_RECORD in unreached:
        print(f"{folder}: signed by this key, and nothing here says anything of this model{limit}")
        return 2
    print(f"{folder}: signed by this key, and nothing differs{limit}")
    return 0
