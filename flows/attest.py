"""Proof that travels with a model: one folder with the model, its card, and signed documents made of recorded facts.

    openssl ecparam -name prime256v1 -genkey -noout -out KEY; openssl ec -in KEY -pubout -out KEY.pub    your key pair
    python -m flows.attest instruct --key KEY --out FOLDER      a model of the workspace, or a registered name@alias
    python -m flows.attest --check FOLDER --key KEY.pub         recompute every digest and field, here or elsewhere
    python -m flows.attest --sbom FILE                          a CycloneDX 1.7 SBOM of all that is installed here

FOLDER loads in `transformers`; model.sig is its OMS signature (OpenSSF Model Signing), over all its files. In proof/
lie SLSA provenance, the gate's verdict and the last rebuild as in-toto test results, a CycloneDX 1.7 ML-BOM with
intervals and energy, a summary of the training content, and a Croissant description. No field is typed in by hand, but
for what only the owner knows (--owner FILE, YAML): docs/attest.md.

--check does not believe the signer: it hashes the files, DVC's cache or remote and MLflow's copy, makes every document
anew from them and the ledger, and names what differs (exit status 1) and what it could not reach. The exit status is 2
where only somebody's word stands for the model: the signature was not checked, or no dvc.lock here records these bytes.
"""

import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from components.core.errors import UserError
from components.core.files import md5_file, read_fields, read_json, sha256_file, write_json, write_text
from flows.system import dvc, git
from flows.system.command import parser_of, run_command

EXTRA = "this needs the extra `attest`: .venv/bin/pip install -c constraints.txt -e '.[attest]'"
MAKE_KEY = (
    "make a pair: openssl ecparam -name prime256v1 -genkey -noout -out KEY; openssl ec -in KEY -pubout -out KEY.pub"
)
NO_RECORD = "dvc.lock: nothing here records these bytes, so its hashes are read from the folder"
SIGNATURE, PROOF, CARD = "model.sig", "proof", ("README.md", "ATTRIBUTION.md", "card.json")


# -- writing -----------------------------------------------------------------------------------------------------------


def attest(model: str, at: str, key: Path, owner: Path | None, folder: Path) -> None:
    """Write the folder of a model; nothing is left of one that could not be finished.

    Raises:
        UserError: no such model, a folder that exists, a key that cannot sign, a part of the extra that is missing.
    """
    from components.studies.attestation.documents import documents
    from flows.export import names_of, write_folder
    from flows.tracking.attestation import claims_of, owner_fields, with_its_files
    from flows.tracking.model_origin import choose

    signer = signing(key)
    if folder.exists():
        raise UserError(f"{folder}: exists already; name a new folder")
    one, stage = choose(model, at)
    if one.kind == "workspace":
        dvc.raise_if_damaged([name for name in one.lock if name in dvc.graph()])
    one, name, stated = with_its_files(one), stage.replace("@", "/"), owner_fields(owner)
    if f"models/{name}" not in one.outputs():
        raise UserError(f"{one.name}: no models/{name} there; run the pipeline first")
    names = names_of(one, name)
    claims = claims_of(one, stage, names, stated)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.")
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({_words(error)}); name another folder") from None
    with temporary as aside:
        whole = Path(aside) / folder.name
        write_folder(one, name, claims.answers, whole)
        if not any(whole.glob("*.safetensors")):
            raise UserError(f"{one.name}: the weights of models/{name} are neither here nor in DVC's cache; `dvc pull` "
                            "gets them from a remote, the pipeline makes them again")  # fmt: skip
        formats: dict[str, str] = {}
        for file, content in documents(claims).items():
            write_json(whole / PROOF / file, content)
            formats[file] = validated(file, whole / PROOF / file)
        index = {"model": name, "greenhouse": this_version(), "documents": formats}
        write_json(whole / PROOF / "index.json", index)
        signer(whole)
        whole.rename(folder)


def this_version() -> str:
    """Commit of the code that makes the documents; `+changes` if tracked files differ from it."""
    changed = git.answer("status", "--porcelain", "--untracked-files=no", "--", "components", "flows")
    return (git.answer("rev-parse", "HEAD") or "not known") + "+changes" * bool(changed)


def write_sbom(path: Path) -> str:
    """Write the bill of what is installed; how it was validated.

    Raises:
        UserError: it cannot be written, or the extra is not installed.
    """
    try:
        from flows.tracking.sbom import sbom
    except ImportError:
        raise UserError(EXTRA) from None
    try:
        write_text(path, sbom())
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({_words(error)}); name another file") from None
    return f"{path}: {validated('sbom.cdx.json', path)}"


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


def signing(key: Path) -> Callable[[Path], None]:
    """A function that signs a folder with a private key.

    Raises:
        UserError: the key cannot be read, or is of another kind; the extra is not installed.
    """
    try:
        import cyclonedx.validation.json  # noqa: F401 - before anything is written
        from model_signing import signing
    except ImportError:
        raise UserError(EXTRA) from None
    try:
        config = signing.Config().use_elliptic_key_signer(private_key=key)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{key}: no private key that can sign ({_words(error)}); {MAKE_KEY}") from None

    def sign(folder: Path) -> None:
        config.set_hashing_config(_hashed()).sign(folder, folder / SIGNATURE)

    return sign


def _hashed() -> Any:
    """What a signature is over: all files but itself, those of git too."""
    from model_signing import hashing

    return hashing.Config().set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=False)


def _refusal(error: Exception) -> str:
    """Why a signature is not valid; `model_signing` says it in lists and reprs."""
    if str(error).startswith("Key mismatch"):
        return "another key made it"
    if type(error).__name__ == "InvalidSignature":
        return "it was changed"
    if str(error).startswith("Signature mismatch"):
        return "a file was changed, added or taken away after it"
    if "symlink" in str(error):
        return "there is a link, which may point anywhere"
    return "the file is missing, or no OMS signature"


def _words(error: Exception) -> str:
    if isinstance(error, AttributeError):  # what model_signing asks of a key of another kind
        return "not of an elliptic curve"
    return error.strerror if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())[:200]


# -- checking ----------------------------------------------------------------------------------------------------------


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
            f"{folder}: not an attested model, or a damaged one ({_words(error)}); get a whole copy of what "
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


def signed_by(folder: Path, key: Path | None) -> tuple[list[str], list[str], list[str]]:
    """Whether model.sig is a signature by this key of the files that are there."""
    if key is None and not (folder / SIGNATURE).is_file():
        return [], [f"{SIGNATURE}: missing, and every attested folder has one"], []
    if key is None:
        return [], [], [f"{SIGNATURE}: give the signer's public key (--key KEY.pub)"]
    try:
        from model_signing import verifying
    except ImportError:
        return [], [], [f"{SIGNATURE}: {EXTRA}"]
    try:
        config = verifying.Config().use_elliptic_key_verifier(public_key=key)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f"{key}: no public key ({_words(error)}); it is what `openssl ec -in KEY -pubout` prints"
        ) from None
    try:
        config.set_hashing_config(_hashed()).verify(folder, folder / SIGNATURE)
    except Exception as error:  # the library raises what its parts raise, for a file that is no signature too
        return [], [f"{SIGNATURE}: no valid signature of these files by this key ({_refusal(error)})"], []
    return [f"{SIGNATURE}: the signature is of these files and this key"], [], []


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
        wrong.append(f"{PROOF}/index.json: not what attest writes ({_words(error)})")
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
    from flows.export import names_of
    from flows.tracking import attestation
    from flows.tracking.snapshots import Snapshot

    model, md5 = recorded.answers.model, recorded.md5
    stage, unreached = model.replace("/", "@"), list[str]()
    own = attestation.folder_md5(
        {name: md5_file(folder / name) for name in recorded.files if (folder / name).is_file()}
    )
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
        unreached.append(f"fields: {_words(error)}")
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


def main() -> int:
    """Attest or check."""
    parser = parser_of("attest", __doc__)
    parser.add_argument(
        "model", nargs="?", default="", help="causal, masked, instruct, prefer, classify, or name@alias"
    )
    parser.add_argument("--at", default="workspace", help="workspace (default), a git revision, an experiment, a run")
    parser.add_argument("--key", type=Path, help="your private key; with --check the signer's public key")
    parser.add_argument("--owner", type=Path, metavar="FILE", help="YAML with what only the owner knows")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="a new folder")
    parser.add_argument("--check", type=Path, metavar="FOLDER", help="check a folder instead of writing one")
    parser.add_argument("--sbom", type=Path, metavar="FILE", help="only write an SBOM of what is installed")
    arguments = parser.parse_args()
    if arguments.check:
        unused = {"model": "MODEL", "at": "--at", "owner": "--owner", "out": "--out", "sbom": "--sbom"}
        if given := [shown for name, shown in unused.items() if getattr(arguments, name) != parser.get_default(name)]:
            parser.error(f"--check FOLDER checks the model in FOLDER and writes nothing; leave out {', '.join(given)}")
        return report(arguments.check, arguments.key)
    if arguments.sbom:
        print(write_sbom(arguments.sbom))
        return 0
    if not (arguments.model and arguments.key and arguments.out):
        parser.error("name a model, --key and --out; or --check FOLDER; or --sbom FILE")
    attest(arguments.model, arguments.at, arguments.key, arguments.owner, arguments.out)
    print(f"{arguments.out}: {arguments.model} with its card, {PROOF}/ and {SIGNATURE}")
    return 0


if __name__ == "__main__":
    run_command("attest", main)
