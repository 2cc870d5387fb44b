"""`greenhouse export --to signed`: a signed folder of a model, and a check that finds what was changed afterwards."""

import hashlib
import json
import re
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

from components.core.errors import UserError
from components.core.files import read_json, write_json
from flows import export
from flows.tracking import signature, signed_folder
from flows.tracking.attestation import owner_fields
from tests.flows.pipeline_clone import PipelineClone

SIGNED = ("greenhouse", "export", "--to", "signed")


def key_pair(folder: Path, name: str) -> Path:
    """A private key, its public half beside it as `<name>.pub`: the two lines that the help gives."""
    key = folder / name
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key], check=True)
    subprocess.run(["openssl", "ec", "-in", key, "-pubout", "-out", f"{key}.pub"], check=True, capture_output=True)
    return key


@pytest.fixture(scope="module")
def attested(finished_clone: PipelineClone, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A key, and a folder that was made and signed with it; who changes it makes one of their own."""
    place = tmp_path_factory.mktemp("attested")
    key, folder = key_pair(place, "key"), place / "folder"
    finished_clone.run(*SIGNED, "instruct", "--key", str(key), "--out", str(folder))
    return key, folder


@pytest.mark.pipeline
def test_a_folder_is_made_checked_and_found_out(
    finished_clone: PipelineClone, attested: tuple[Path, Path], tmp_path: Path
) -> None:
    key, other, folder = attested[0], key_pair(tmp_path, "other"), tmp_path / "folder"
    shutil.copytree(attested[1], folder)
    said = finished_clone.run("greenhouse", "verify", str(folder), "--key", f"{key}.pub")
    assert "signed by this key, and nothing differs" in said.splitlines()[-1]
    assert "anybody may have made it" in finished_clone.run("greenhouse", "verify", str(folder), expect=2)
    said = finished_clone.run("greenhouse", "verify", str(folder), "--key", f"{other}.pub", expect=1)
    assert "model.sig: no valid signature of these files by this key (another key made it)" in said
    (folder / "model.sig").rename(tmp_path / "model.sig")
    assert "model.sig: missing" in finished_clone.run("greenhouse", "verify", str(folder), expect=1)
    (tmp_path / "model.sig").rename(folder / "model.sig")
    model = folder / "model.safetensors"
    whole = model.read_bytes()
    model.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    said = finished_clone.run("greenhouse", "verify", str(folder), "--key", f"{key}.pub", expect=1)
    assert "model.safetensors: not the file that was attested" in said
    assert "(a file was changed, added or taken away after it)" in said
    index = read_json(folder / "proof/index.json")
    write_json(folder / "proof/index.json", index | {"greenhouse": "another commit"})
    said = finished_clone.run("greenhouse", "verify", str(folder), "--key", f"{key}.pub", expect=1)
    assert "attested by Greenhouse another commit, checked by" in said.splitlines()[-1]


@pytest.mark.pipeline
@pytest.mark.parametrize(
    ("model", "key", "place", "says"),
    [
        ("nothing", "key", "folder", "nothing"),
        ("instruct", "missing", "folder", "missing"),
        ("instruct", "key", "/proc/folder", "/proc/folder: cannot be made"),
    ],
)
def test_what_cannot_be_made_leaves_nothing(
    finished_clone: PipelineClone, tmp_path: Path, model: str, key: str, place: str, says: str
) -> None:
    key_pair(tmp_path, "key")
    folder = tmp_path / place
    said = finished_clone.run(*SIGNED, model, "--key", str(tmp_path / key), "--out", str(folder), expect=1)
    assert says in said.splitlines()[-1]
    assert "Traceback" not in said
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("folder")] == []


@pytest.mark.pipeline
@pytest.mark.parametrize("path", ["models/finetune/instruct/model.safetensors", "data/mix/train/manifest.json"])
def test_what_cannot_be_read_is_not_signed_as_if_it_never_was(
    finished_clone: PipelineClone, tmp_path: Path, path: str
) -> None:
    key_pair(tmp_path, "key")
    with finished_clone.without(path, tmp_path / "kept"):
        command = (*SIGNED, "instruct", "--key", str(tmp_path / "key"), "--out", str(tmp_path / "folder"))
        said = finished_clone.run(*command, expect=1)
    assert f"{path} of workspace: " in said.splitlines()[-1]
    assert "not in DVC's cache" in said.splitlines()[-1]
    assert not (tmp_path / "folder").exists()


@pytest.mark.long
@pytest.mark.pipeline
def test_what_was_edited_is_not_signed_and_a_check_names_it(
    finished_clone: PipelineClone, attested: tuple[Path, Path], tmp_path: Path
) -> None:
    key, folder = attested
    manifest = finished_clone.root / "data/ingest/train/manifest.json"
    whole = manifest.read_bytes()
    manifest.unlink()  # it may be a link into DVC's cache
    try:
        manifest.write_bytes(whole + b"\n{}")
        said = finished_clone.run(*SIGNED, "instruct", "--key", str(key), "--out", str(tmp_path / "2"), expect=1)
        assert "data/ingest/train/manifest.json: its bytes are not those that its stage wrote" in said.splitlines()[-1]
        said = finished_clone.run("greenhouse", "verify", str(folder), "--key", f"{key}.pub", expect=1)
        assert "data/ingest/train: its files here are not those of dvc.lock" in said
    finally:
        manifest.write_bytes(whole)


@pytest.mark.long
@pytest.mark.pipeline
def test_where_nothing_is_recorded_only_the_signer_s_word_stands(
    fresh_clone: PipelineClone, attested: tuple[Path, Path]
) -> None:
    key, folder = attested
    said = fresh_clone.run("greenhouse", "verify", str(folder), "--key", f"{key}.pub", expect=2)
    assert "signed by this key, and nothing here says anything of this model" in said.splitlines()[-1]


@pytest.mark.parametrize("line", ["purpose:", "provider: [1, 2]"])
def test_an_owner_s_field_is_text(tmp_path: Path, line: str) -> None:
    (file := tmp_path / "owner.yaml").write_text(f"languages: English\n{line}\n")
    with pytest.raises(UserError, match=rf"owner.yaml: {line.partition(':')[0]}: no text; write"):
        owner_fields(file)


def test_a_key_of_another_kind_is_named(tmp_path: Path) -> None:
    rsa = tmp_path / "rsa"
    subprocess.run(["openssl", "genrsa", "-out", rsa, "2048"], check=True, capture_output=True)
    subprocess.run(["openssl", "rsa", "-in", rsa, "-pubout", "-out", f"{rsa}.pub"], check=True, capture_output=True)
    with pytest.raises(UserError, match=r"no private key that can sign \(not of an elliptic curve\); make a pair"):
        signature.signing(rsa)
    with pytest.raises(UserError, match=r"no public key \(not of an elliptic curve\)"):
        signature.signed_by(tmp_path, tmp_path / "rsa.pub")
    with pytest.raises(UserError, match=r"none: no private key that can sign \(No such file or directory\)"):
        signature.signing(tmp_path / "none")


def test_what_is_no_signature_is_said(tmp_path: Path) -> None:
    (tmp_path / "model.sig").write_text("{}")
    _, wrong, _ = signature.signed_by(tmp_path, Path(f"{key_pair(tmp_path, 'key')}.pub"))
    reason = "the file is missing, or no OMS signature"
    assert wrong == [f"model.sig: no valid signature of these files by this key ({reason})"]


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("https://example.org/a?b#c", True),
        ("https://exämple.org/ü", True),
        ("#part", True),
        ("a b", False),
        ("<a>", False),
    ],
)
def test_addresses_are_checked_also_those_that_are_no_ascii(text: str, valid: bool, tmp_path: Path) -> None:
    assert signed_folder.is_iri_reference(text) == valid
    bom = {"$schema": "http://cyclonedx.org/schema/bom-1.7.schema.json", "bomFormat": "CycloneDX", "specVersion": "1.7",
           "externalReferences": [{"type": "website", "url": text}]}  # fmt: skip
    path = tmp_path / "sbom.cdx.json"
    path.write_text(json.dumps(bom))
    if valid:
        assert "strict validator" in signed_folder.validated(path.name, path)
    else:
        with pytest.raises(UserError, match="iri-reference"):
            signed_folder.validated(path.name, path)


@pytest.mark.long
def test_the_sbom_names_all_that_is_installed_and_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "sbom.cdx.json"
    assert "valid CycloneDX 1.7" in export.write_sbom(path)
    bom = read_json(path)
    parts = {one["name"]: one for one in bom["components"]}
    installed = {re.sub(r"[-_.]+", "-", one.metadata["Name"]).lower() for one in metadata.distributions()}
    assert parts.keys() | {bom["metadata"]["component"]["name"]} == installed
    torch = parts["torch"]
    assert torch["purl"].startswith(f"pkg:pypi/torch@{metadata.version('torch').split('+')[0]}")
    assert parts["pyarrow"]["licenses"] == [{"expression": "Apache-2.0"}]
    (record,) = torch["components"]
    file = Path(str(metadata.distribution("torch").locate_file(record["name"])))
    assert record["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(file.read_bytes()).hexdigest()}]
    needs = {one["ref"]: one.get("dependsOn", []) for one in bom["dependencies"]}
    assert parts["numpy"]["purl"] in needs[bom["metadata"]["component"]["bom-ref"]]
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        export.write_sbom(tmp_path / "file" / "sbom.json")
