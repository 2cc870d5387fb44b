"""`python -m flows.attest`: a signed folder of a model, and a check that finds what was changed afterwards."""

import subprocess
from pathlib import Path

import pytest

from components.core.errors import UserError
from flows import attest
from tests.flows.pipeline_clone import PipelineClone

pytestmark = [pytest.mark.pipeline]


def key_pair(folder: Path, name: str) -> Path:
    """A private key, its public half beside it as `<name>.pub`: the two lines that the help gives."""
    key = folder / name
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key], check=True)
    subprocess.run(["openssl", "ec", "-in", key, "-pubout", "-out", f"{key}.pub"], check=True, capture_output=True)
    return key


def test_a_folder_is_made_checked_and_found_out(finished_clone: PipelineClone, tmp_path: Path) -> None:
    key, other, folder = key_pair(tmp_path, "key"), key_pair(tmp_path, "other"), tmp_path / "folder"
    finished_clone.run("flows.attest", "instruct", "--key", str(key), "--out", str(folder))
    finished_clone.run("flows.attest", "--check", str(folder), "--key", f"{key}.pub")
    assert "signature" in finished_clone.run("flows.attest", "--check", str(folder), "--key", f"{other}.pub", expect=1)
    model = folder / "model.safetensors"
    whole = model.read_bytes()
    model.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert "model.safetensors" in finished_clone.run(
        "flows.attest", "--check", str(folder), "--key", f"{key}.pub", expect=1
    )


@pytest.mark.parametrize(("model", "key", "says"), [("nothing", "key", "nothing"), ("instruct", "missing", "missing")])
def test_what_cannot_be_made_leaves_nothing(
    finished_clone: PipelineClone, tmp_path: Path, model: str, key: str, says: str
) -> None:
    key_pair(tmp_path, "key")
    folder = tmp_path / "folder"
    said = finished_clone.run("flows.attest", model, "--key", str(tmp_path / key), "--out", str(folder), expect=1)
    assert says in said.splitlines()[-1]
    assert "Traceback" not in said
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("folder")] == []


def test_a_key_of_another_kind_is_named(tmp_path: Path) -> None:
    rsa = tmp_path / "rsa"
    subprocess.run(["openssl", "genrsa", "-out", rsa, "2048"], check=True, capture_output=True)
    subprocess.run(["openssl", "rsa", "-in", rsa, "-pubout", "-out", f"{rsa}.pub"], check=True, capture_output=True)
    with pytest.raises(UserError, match=r"no private key that can sign \(not of an elliptic curve\); make a pair"):
        attest.signing(rsa)
    with pytest.raises(UserError, match=r"no public key \(not of an elliptic curve\)"):
        attest.signed_by(tmp_path, tmp_path / "rsa.pub")


def test_what_is_no_signature_is_said(tmp_path: Path) -> None:
    (tmp_path / "model.sig").write_text("{}")
    _, wrong, _ = attest.signed_by(tmp_path, Path(f"{key_pair(tmp_path, 'key')}.pub"))
    assert wrong == ["model.sig: it has no field 'verificationMaterial'"]
