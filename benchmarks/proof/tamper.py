"""Forty ways to tamper with an attested model, and whether the check of the folder names each.

    python -m benchmarks.proof.tamper FOLDER KEY KEY.pub     in a clone whose pipeline has run; prints kind -> caught

Those of `OUTSIDE` touch what the folder was made from; `UNSIGNED` touch the folder, so the signature breaks; `RESIGNED`
rewrite the facts, make every document and the card anew from them, and sign again with the signer's own key: only
recomputing finds these. What nobody can catch is in `BEYOND`: it is listed and not counted.
"""

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.proof.fields import changed
from components.core.files import md5_file, read_json, sha256_file, write_json

BEYOND = (
    "a ledger rewritten before attesting, MLflow's records with it",
    "a source that lied about its licence, or about where its text is from",
    "dvc.lock, cache, ledger and MLflow all made up by one hand: only a rebuild contradicts it",
    "a model of bytes and inputs that no record here has: the check says so, and exits with 2 as without a signature",
    "a forged result of verify on a machine that has no record of it",
)
Facts = dict[str, Any]


# -- the folder, the signature broken ----------------------------------------------------------------------------------


def flipped(name: str, at: int = -1) -> Callable[[Path], None]:
    """One byte of a file is another."""

    def tamper(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        data[at] ^= 1
        (folder / name).write_bytes(data)

    return tamper


def edited(name: str, *path: str | int, value: Any) -> Callable[[Path], None]:
    """A value of a JSON file is another."""
    return lambda folder: write_json(folder / name, changed(read_json(folder / name), path, value))


def _pickle_beside(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")


def _truncated(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-4])


UNSIGNED: dict[str, Callable[[Path], None]] = {
    "weights, a bit": flipped("model.safetensors"),
    "weights, cut short": _truncated,
    "weights, gone": lambda folder: (folder / "model.safetensors").unlink(),
    "tokenizer, a byte": flipped("tokenizer.json", 900),
    "config.json": edited("config.json", "rope_parameters", value={"rope_type": "default", "rope_theta": 5.0}),
    "generation settings": edited("generation_config.json", "temperature", value=9.0),
    "training facts": edited("greenhouse.json", "training", "steps", value=1),
    "card, its text": flipped("README.md", 40),
    "card, attributions": flipped("ATTRIBUTION.md", 40),
    "card, its data": edited("card.json", "licence", value="MIT"),
    "a pickle beside the weights": _pickle_beside,
    "facts, energy": edited("proof/claims.json", "answers", "cost", "kwh", value=[0, 0, 0]),
    "provenance, a parameter": edited("proof/provenance.json", "predicate", "buildDefinition", "buildType", value="x"),
    "bill of materials, a component": edited("proof/bom.cdx.json", "components", value=[]),
    "training content, a value": edited("proof/training-content.json", "sources", value={}),
    "data set, its description": edited("proof/croissant.json", "license", value=["MIT"]),
    "a document gone": lambda folder: (folder / "proof/provenance.json").unlink(),
    "signature, gone": lambda folder: (folder / "model.sig").unlink(),
}


# -- the folder, rewritten and signed again ----------------------------------------------------------------------------


def at(*path: str | int, value: Any) -> Callable[[Facts, Path], Facts]:
    """A fact is another; `value` may be a function of the old one."""

    def rewrite(facts: Facts, folder: Path) -> Facts:
        old: Any = facts
        for key in path:
            old = old[key]
        return changed(facts, path, value(old) if callable(value) else value)

    return rewrite


def halved(values: list[float]) -> list[float]:
    """Half of each."""
    return [one / 2 for one in values]


def _other_bytes(name: str) -> Callable[[Facts, Path], Facts]:
    """A file of the model is another, and its hashes in the facts and in dvc.lock follow."""

    def rewrite(facts: Facts, folder: Path) -> Facts:
        from flows.tracking.attestation import folder_md5

        flipped(name)(folder)
        md5 = folder_md5({one: md5_file(folder / one) for one in facts["files"]})
        text = json.dumps(facts).replace(facts["md5"], md5).replace(facts["files"][name], sha256_file(folder / name))
        return json.loads(text)

    return rewrite


def _all_energy(facts: Facts, folder: Path) -> Facts:
    """Every energy and carbon figure is half."""
    cost = facts["answers"]["cost"]
    named = ("kwh", "grams", "own_kwh", "own_grams", "attempts_kwh", "embodied_grams")
    cost |= {name: halved(cost[name]) for name in named}
    rows = facts["energy"].items()
    return facts | {"energy": {one: {name: halved(row[name]) for name in row} for one, row in rows}}


def _no_attempts(facts: Facts, folder: Path) -> Facts:
    """The run that failed was never there."""
    cost = facts["answers"]["cost"]
    cost |= {"attempts": 0, "attempts_kwh": [0.0, 0.0, 0.0]}
    return facts


def _out(stage: str, number: int) -> tuple[str | int, ...]:
    return "lock", stage, "outs", number, "md5"


PROMOTED = {"registered": "x", "version": "1", "verdict": "promote", "champion": "0", "reasons": []}
RESIGNED: dict[str, Callable[[Facts, Path], Facts]] = {
    "weights and their hashes": _other_bytes("model.safetensors"),
    "tokenizer and its hashes": _other_bytes("tokenizer.json"),
    "shard of the mixture": at("shards", value=lambda old: dict.fromkeys(old, "ab" * 32)),
    "lock, an output": at(*_out("mix", 0), value="ab" * 16 + ".dir"),
    "lock, an input": at("lock", "tokenize", "deps", 0, "md5", value="cd" * 16 + ".dir"),
    "lock, a parameter": at("lock", "mix", "params", "params.yaml", "mix", "seed", value=99),
    "lock, a stage gone": at("lock", value=lambda old: {name: row for name, row in old.items() if name != "dedup"}),
    "licence of the model": at("answers", "licence", value="MIT"),
    "licences of the text": at("answers", "data", "licences", value=lambda old: {"CC0-1.0": sum(old.values())}),
    "licence in the attributions": at("answers", "data", "attribution", 0, "licence", value="CC0-1.0"),
    "energy and carbon": _all_energy,
    "carbon of one stage": at("energy", "pretrain@causal", "grams", value=halved),
    "a dropped run": _no_attempts,
    "a score": at("answers", "quality", "scores", 0, "value", value=0.001),
    "an interval": at("answers", "quality", "scores", 0, value=lambda old: old | {"low": old["value"]}),
    "verdict of the gate": at("verdict", value=PROMOTED),
    "result of verify": at("answers", "rebuild", "verified", "result", value="identical"),
    "commit": at("commit", value="0" * 40),
    "packages": at("environment", "torch", value="1.0"),
    "documents removed": at("answers", "data", "removed", value=[]),
}  # fmt: skip


# -- what the folder was made from -------------------------------------------------------------------------------------


def _outside(facts: Facts) -> dict[str, Path]:
    """Files beside the folder whose bytes the check hashes."""
    from flows.system import paths
    from flows.tracking.snapshots import ObjectCache

    mixture = {out["path"]: out["md5"] for out in facts["lock"]["mix"]["outs"]}["data/mix"]
    listed = ObjectCache().files(mixture)
    shard = next(name for name in listed if name.endswith(".parquet"))
    copies = sorted((paths.STATE / "mlartifacts").rglob("model.safetensors"))
    wanted = facts["files"]["model.safetensors"]
    return {
        "shard in the workspace": paths.ROOT / "data/mix" / shard,
        "MLflow's copy of the weights": next(path for path in copies if sha256_file(path) == wanted),
    }


@contextmanager
def restored(path: Path, at_byte: int = -1) -> Iterator[None]:
    """Within: one byte of a file is another."""
    data, mode = path.read_bytes(), path.stat().st_mode
    path.chmod(0o644)
    flipped(path.name, at_byte)(path.parent)
    try:
        yield
    finally:
        path.write_bytes(data)
        path.chmod(mode)


# -- all of them -------------------------------------------------------------------------------------------------------


def resign(folder: Path, facts: Facts, key: Path) -> None:
    """Make all documents and the card of these facts, and sign them."""
    from components.stages.account.model_card import write_card
    from components.studies.attestation.claims import Claims
    from components.studies.attestation.documents import documents
    from flows.tracking import signature, signed_folder

    claims = Claims.model_validate(facts)
    shutil.rmtree(folder / signed_folder.PROOF)
    formats = {}
    for name, content in documents(claims).items():
        write_json(folder / signed_folder.PROOF / name, content)
        formats[name] = signed_folder.validated(name, folder / signed_folder.PROOF / name)
    index = {"model": claims.answers.model, "greenhouse": signed_folder.this_version(), "documents": formats}
    write_json(folder / signed_folder.PROOF / "index.json", index)
    write_card(claims.answers, folder)
    (folder / signature.SIGNATURE).unlink()
    signature.signing(key)(folder)


def kinds(folder: Path, key: Path, public: Path) -> dict[str, dict[str, str]]:
    """Group -> kind -> what the check said first; "" if it found nothing."""
    from flows.tracking.signed_folder import check

    def said(copy: Path) -> str:
        return next(iter(check(copy, public)[1]), "")

    facts, found = read_json(folder / "proof/claims.json"), {"untouched": {"": said(folder)}}
    found |= {"unsigned": {}, "resigned": {}, "outside": {}}
    for name, tamper in UNSIGNED.items():
        with tempfile.TemporaryDirectory() as aside:
            copy = Path(shutil.copytree(folder, Path(aside) / "copy"))
            tamper(copy)
            found["unsigned"][name] = said(copy)
    for name, rewrite in RESIGNED.items():
        with tempfile.TemporaryDirectory() as aside:
            copy = Path(shutil.copytree(folder, Path(aside) / "copy"))
            resign(copy, rewrite(json.loads(json.dumps(facts)), copy), key)
            found["resigned"][name] = said(copy)
    for name, path in _outside(facts).items():
        with restored(path):
            found["outside"][name] = said(folder)
    return found


if __name__ == "__main__":
    print(json.dumps(kinds(*(Path(argument) for argument in sys.argv[1:4]))))
