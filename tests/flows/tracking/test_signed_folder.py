"""A signed folder of a model: made whole or not at all, and a check that says what it established."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from components.core.errors import UserError
from components.core.files import folder_md5, md5_file, sha256_bytes, write_json
from components.stages.account.answers import NotKnown
from components.studies.attestation.claims import Claims
from components.studies.attestation.renderings import write_renderings
from components.studies.attestation.verdict import NOTE, TRAINING, CheckVerdict, Finding
from components.studies.withdrawn import withdraw
from flows.system import paths
from flows.tracking import attestation, recomputed, signature, signed_folder
from flows.tracking.attestation import owner_fields
from flows.tracking.snapshots import Snapshot
from tests.components.made_claims import made_claims
from tests.errors import refused, refuses, shows
from tests.flows.object_cache import listing
from tests.flows.pipeline_clone import PipelineClone

REBUILT = """
from flows.tracking.model_origin import choose, record_verification
record_verification(*choose("instruct", "workspace"), "", {"processor": "as a rebuild leaves it"})
"""
SIGNED = ("greenhouse", "export", "--to", "signed")
STAGE = "finetune@instruct"


def key_pair(folder: Path, name: str = "key") -> Path:
    """A private key, its public half beside it as `<name>.pub`: the two lines that the help gives."""
    key = folder / name
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key], check=True)
    subprocess.run(["openssl", "ec", "-in", key, "-pubout", "-out", f"{key}.pub"], check=True, capture_output=True)
    return key


# -- what a check establishes, with records that are made up -----------------------------------------------------------


class Workplace:
    """A checkout whose records agree with a signed folder; a test takes one of them away."""

    def __init__(self, root: Path, facts: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.key, self.patch = root / "folder", key_pair(root), monkeypatch
        self.public = Path(f"{self.key}.pub")
        self.folder.mkdir()
        files, md5 = self.weights(b"weights")
        behind: dict[str, dict[str, Any]] = {
            stage: {"outs": [{"path": f"data/{stage}", "md5": f"{stage}.dir"}]} for stage in facts["stages"]
        }
        lock = behind | {STAGE: {"outs": [{"path": "models/finetune/instruct", "md5": md5}]}}
        params = {"params.yaml": {"finetune.instruct": {"data": "data/bias/train"}}}
        lock = {name: {"cmd": "x", "deps": [], "params": params} | row for name, row in lock.items()}
        self.claims = Claims.model_validate(facts | {"files": files, "md5": md5, "lock": lock})
        self.state = Snapshot("workspace", "workspace", lock)
        write_json(root / "withdrawn.json", {})
        monkeypatch.setattr(paths, "ROOT", root)
        monkeypatch.setattr(attestation, "states", lambda: iter([self.state]))
        monkeypatch.setattr(attestation.snapshots, "committed", lambda: iter([]))
        self.answers(rehashed=[Finding("hashed", "yes", "9 files")], mlflow_copies=[])
        self.answers(with_its_files=self.state, claims_of=self.claims)
        self.computes(link_outputs=None, **{item: [Finding(item, "yes", f"{item}: right")]
                                            for item in ("licences", "scores", TRAINING)})  # fmt: skip
        self.sign()

    def weights(self, data: bytes) -> tuple[dict[str, str], str]:
        """Have the folder hold these weights; its files with their hashes, and DVC's hash of it."""
        (self.folder / "model.safetensors").write_bytes(data)
        md5 = folder_md5({"model.safetensors": md5_file(self.folder / "model.safetensors")})
        return {"model.safetensors": sha256_bytes(data)}, md5

    def answers(self, module: Any = attestation, **found: Any) -> None:
        """Have functions of `attestation` return these, or raise them."""
        for name, value in found.items():
            self.patch.setattr(module, name, lambda *_, value=value: _given(value))

    def computes(self, **found: Any) -> None:
        """Have functions of `recomputed` return these, or raise them."""
        self.answers(recomputed, **found)

    def sign(self, **update: Any) -> None:
        """Write the files of claims and sign them, as whoever has the key can."""
        (self.folder / "model.sig").unlink(missing_ok=True)
        write_renderings(self.claims.model_copy(update=update), self.folder)
        signature.signing(self.key)(self.folder)

    def check(self, **more: Any) -> CheckVerdict:
        return signed_folder.check(self.folder, self.public, **more)


def _given(value: Any) -> Any:
    if isinstance(value, Exception):
        raise value
    return value


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return made_claims(tmp_path_factory.mktemp("project"))


@pytest.fixture
def workplace(tmp_path: Path, facts: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Workplace:
    return Workplace(tmp_path, facts, monkeypatch)


def test_all_is_established_and_the_upstream_client_takes_the_signature(
    workplace: Workplace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert signed_folder.report(workplace.folder, workplace.public) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[:2] == ["trained as claimed: rebuilt here to the same bytes", "recomputed here:"]
    assert "\n    cost: by the signer, and the records here have the same\n" in said[said.index("recorded, by ") :]
    assert said[said.index("not established:") :].splitlines()[1:-1] == ["    owner: said by the signer alone"]
    upstream = [sys.executable, "-m", "model_signing", "verify", "key", "--public_key", str(workplace.public)]
    given = ["--signature", str(workplace.folder / "model.sig"), "--no-ignore-git-paths", str(workplace.folder)]
    done = subprocess.run([*upstream, *given], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("found", "item"),
    [({"rehashed": [Finding(NOTE, "unknown", "data/mix: in no cache")]}, "hashed"),
     ({"with_its_files": Snapshot("workspace", "workspace", {STAGE: {}})}, "chain"),
     ({"claims_of": UserError("models/finetune/instruct: not in this state")}, "parameters"),
     ({"claims_of": KeyError("x")}, "chain"), ({"claims_of": ZeroDivisionError("x")}, "parameters"),
     ({"mlflow_copies": ConnectionError("no server")}, "chain"),
     ({"module": recomputed, "scores": UserError("no device cuda")}, "scores"),
     ({"module": recomputed, "licences": UserError("package click is not installed")}, "licences"),
     ({"module": recomputed, "licences": [Finding("scores", "unknown", "another held-out set")]}, "scores"),
     ({"module": recomputed, "training": [Finding(TRAINING, "unknown", recomputed.NO_RECORD)]}, TRAINING)],
)  # fmt: skip
def test_what_cannot_be_collected_is_open_and_no_success(
    workplace: Workplace, found: dict[str, Any], item: str
) -> None:
    workplace.answers(**found)
    assert workplace.check().status == 2
    assert item in workplace.check().open_items
    assert workplace.check(scope="bytes").status == 0


def test_what_nobody_recorded_and_what_is_only_on_record_is_said_first(
    workplace: Workplace, capsys: pytest.CaptureFixture[str]
) -> None:
    """An honest folder without ledger and MLflow was as established as one that was rebuilt."""
    for answer, status, first in (
        ("unknown", 2, "nobody here can tell whether this model was trained as claimed"),
        ("recorded", 3, "its training is on record, by those named below; nobody here has repeated it"),
        ("yes", 0, "trained as claimed: rebuilt here to the same bytes"),
    ):
        workplace.computes(training=[Finding(TRAINING, answer, "x")])
        assert signed_folder.report(workplace.folder, workplace.public) == status
        assert capsys.readouterr().out.splitlines()[0] == first
    nobody = NotKnown(not_known="the ledger has no completed run")
    workplace.sign(cost=nobody)
    workplace.answers(claims_of=workplace.claims.model_copy(update={"cost": nobody}))
    signed_folder.report(workplace.folder, workplace.public)
    assert "cost" not in capsys.readouterr().out


def test_scores_are_measured_by_default_and_not_for_what_differs(workplace: Workplace) -> None:
    workplace.computes(scores=[Finding("scores", "no", "accuracy: signed 0.999, measured here 0.25")])
    assert (workplace.check().status, workplace.check().wrong) == (1, ["accuracy: signed 0.999, measured here 0.25"])
    assert (workplace.check(quick=True).status, workplace.check(quick=True).open_items) == (2, ["scores"])
    workplace.sign(licence="MIT")
    assert not any("accuracy" in line for line in workplace.check().wrong)


@pytest.mark.parametrize(
    "made_up",
    [{}, {"lock": {}}, {"model": "finetune/production"}, {"lock": {}, "model": "../models/finetune/instruct"},
     {"lock": {"ingest": {"cmd": "x", "deps": [], "outs": []}}, "licence": "MIT"}],
)  # fmt: skip
def test_a_model_that_is_made_up_from_end_to_end_is_not_established(
    workplace: Workplace, made_up: dict[str, Any]
) -> None:
    """An empty or partial lock was found in every state, and what could not be collected was no difference."""
    files, md5 = workplace.weights(b"other weights")
    workplace.sign(files=files, md5=md5, **made_up)
    assert workplace.check().status == 2
    assert {"chain", "hashed", "licences", "parameters", "scores", TRAINING} <= set(workplace.check().open_items)


COST = "cost.kwh[0]: signed 9.0, by the records here "
MACHINE = "environment.processor: signed x, by the records here a CPU; another run of the same inputs"


@pytest.mark.parametrize(
    ("part", "change", "says"),
    [("licence", lambda old: "MIT", ""), ("lock", lambda old: {}, ""), ("md5", lambda old: "0.dir", ""),
     ("quality", lambda old: old.model_copy(update={"scores": old.scores[:1]}), ""),
     ("title", lambda old: "certified", ""), ("rebuild", lambda old: old.model_copy(update={"command": "true"}), ""),
     ("rebuild", lambda old: old.model_copy(update={"verified": NotKnown(not_known="x")}), "rebuild.verified: signed "),
     ("cost", lambda old: old.model_copy(update={"kwh": [9.0, 9.0, 9.0], "attempts": 7}), COST),
     ("cost", lambda old: NotKnown(not_known="nobody"), "cost: signed not known: nobody, by the records here {"),
     ("environment", lambda old: old | {"processor": "x"}, MACHINE),
     ("commit", lambda old: "0" * 40, f"commit: signed {'0' * 40}, by the records here ccc"),
     ("verdict", lambda old: old.model_copy(update={"verdict": "hold"}), "verdict.verdict: signed hold, by the "),
     ("verdict", lambda old: NotKnown(not_known="not registered"), "verdict: signed not known: not registered, by")],
)  # fmt: skip
def test_another_claim_differs_and_what_another_run_records_otherwise_is_stated_beside_the_records_here(
    workplace: Workplace, part: str, change: Callable[[Any], Any], says: str
) -> None:
    """With a team's ledgers the same run's energy is shared out otherwise, and a colleague may have run the same."""
    workplace.sign(**{part: change(getattr(workplace.claims, part))})
    verdict = workplace.check()
    assert verdict.status == (0 if says else 1)
    if says:
        assert any(says in line for line in verdict.lists()["recorded, by whom and when"])
        assert not any(part in line for line in verdict.lists()["recomputed here"])


def test_a_withdrawn_model_or_base_is_a_difference_and_no_list_is_not_a_list_without_it(workplace: Workplace) -> None:
    for md5, scopes in ((workplace.claims.md5, ("all", "bytes")), ("pretrain@causal.dir", ("all",))):
        withdraw(paths.ROOT, [md5], "it saw a forgotten document", date(2026, 12, 1))
        assert [workplace.check(scope=scope).status for scope in scopes] == [1] * len(scopes)
        (paths.ROOT / "withdrawn.json").unlink()
        assert (workplace.check().status, workplace.check().open_items) == (2, ["standing"])


def test_bytes_alone_say_first_that_no_figure_was_recomputed(
    workplace: Workplace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attestation, "states", lambda: iter([]))
    other = Path(f"{key_pair(workplace.folder.parent, 'other')}.pub")
    for key, scope, status in ((workplace.public, "all", 2), (None, "bytes", 2), (other, "bytes", 1)):
        assert signed_folder.report(workplace.folder, key, scope) == status
    capsys.readouterr()
    assert signed_folder.report(workplace.folder, workplace.public, "bytes") == 0
    assert capsys.readouterr().out.splitlines()[0] == "the figures were not recomputed"
    (workplace.folder / "more").touch()
    assert signed_folder.report(workplace.folder, workplace.public, "bytes") == 1
    (workplace.folder / "model.sig").unlink()
    assert signed_folder.report(workplace.folder, None, "bytes") == 1


def test_a_difference_cannot_steer_a_terminal(workplace: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    workplace.sign(title="\x1b]0;certified\x07")
    assert signed_folder.report(workplace.folder, workplace.public) == 1
    said = capsys.readouterr().out
    assert r"\x1b]0;certified\x07" in said
    assert "\x1b" not in said


def test_claims_that_make_no_files_are_wrong_and_no_traceback(workplace: Workplace) -> None:
    claims = workplace.claims
    for update in (
        {"cost": claims.cost.model_copy(update={"kwh": [1, 2, 3, 4]})}, {"lock": {"ingest": {}}},
        {"facts": claims.facts.model_copy(update={"shape": {}})},
    ):  # fmt: skip
        write_json(workplace.folder / "card.json", claims.model_copy(update=update).model_dump(mode="json"))
        assert workplace.check().status == 1


def test_an_input_that_is_a_part_of_an_output_follows_from_its_listing(cache: Path) -> None:
    whole = listing(cache, {name: name[-1] for name in ("train/1", "train/2", "dropped/3")})
    part = folder_md5({"1": "1", "2": "2"})
    lock = {
        "bias": {"outs": [{"path": "data/bias", "md5": whole}]},
        "finetune": {"deps": [{"path": "data/bias/train", "md5": part}]},
    }

    def found() -> tuple[str, str]:
        (finding,) = attestation.chain("workspace", ["bias", "finetune"], lock)
        return finding.answer, finding.text

    assert found()[0] == "recorded"
    lock["finetune"]["deps"][0]["md5"] = "other.dir"
    assert found() == ("no", "dvc.lock: finetune was run on another data/bias/train than the stage before made")
    (cache / whole[:2] / whole[2:]).unlink()
    answer, text = found()
    assert (answer, "`greenhouse sync pull` fetches it" in text) == ("unknown", True)


# -- a pipeline that ran ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def attested(finished_clone: PipelineClone, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A key, and a folder that was made and signed with it; who changes it makes one of their own."""
    place = tmp_path_factory.mktemp("attested")
    key, folder = key_pair(place), place / "folder"
    finished_clone.run(*SIGNED, "instruct", "--key", str(key), "--out", str(folder))
    return key, folder


@pytest.mark.pipeline
def test_a_folder_is_made_checked_and_found_out(
    finished_clone: PipelineClone, attested: tuple[Path, Path], tmp_path: Path
) -> None:
    """Other keys, none, and bytes alone: above."""
    key, folder = attested[0], shutil.copytree(attested[1], tmp_path / "folder")
    verify = ("greenhouse", "verify", str(folder), "--key", f"{key}.pub")
    said = finished_clone.run(*verify, expect=3)
    assert "scores, measured again on these weights" in said
    assert "each has the licence, origin and text that its source here has" in said
    assert "its training, by MLflow: run finetune@instruct of these inputs by " in said
    finished_clone.run_code(REBUILT)
    try:
        assert "signed by this key, and established here" in finished_clone.run(*verify).splitlines()[-1]
    finally:
        shutil.rmtree(finished_clone.root / ".greenhouse/findings/verified")
    model = folder / "model.safetensors"
    whole = model.read_bytes()
    model.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    said = finished_clone.run(*verify, expect=1)
    assert "model.safetensors: not the file that card.json names" in said
    assert "model.sig: no signature of these files by this key" in said


@pytest.mark.pipeline
def test_a_model_that_nobody_trained_does_not_pass_with_every_record_forged(
    finished_clone: PipelineClone, tmp_path: Path
) -> None:
    """It passed, with dvc.lock and cache alone: random weights, scores of .999, all documents under CC0-1.0."""
    key, folder = key_pair(tmp_path), tmp_path / "folder"
    live = shutil.ignore_patterns("prefect")
    copy = shutil.copytree(finished_clone.root, tmp_path / "clone", symlinks=True, ignore=live)
    clone, verify = PipelineClone(copy), ("greenhouse", "verify", str(folder), "--key", f"{key}.pub")
    clone.run("benchmarks.proof.invented", "mlflow", "ledger")
    clone.run(*SIGNED, "instruct", "--key", str(key), "--out", str(folder))
    said = clone.run(*verify, expect=1)
    assert "signed 0.999, measured here 0." in said
    assert "licence is BSD-3-Clause by its source here, and CC0-1.0 in the corpus" in said


@pytest.mark.long
@pytest.mark.pipeline
def test_a_killed_export_leaves_nothing_beside_its_target(finished_clone: PipelineClone, tmp_path: Path) -> None:
    key = key_pair(tmp_path)
    folder, work = tmp_path / "out" / "folder", finished_clone.root / ".greenhouse" / "work" / "signed"
    process = finished_clone.start(*SIGNED, "instruct", "--key", str(key), "--out", str(folder))
    while process.poll() is None and not list(work.rglob("README.md")):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert list(folder.parent.iterdir()) in ([], [folder])
    if not folder.exists():
        finished_clone.run(*SIGNED, "instruct", "--key", str(key), "--out", str(folder))
    finished_clone.run("greenhouse", "verify", str(folder), "--key", f"{key}.pub", "--scope", "bytes")
    assert list(work.iterdir()) == []


@pytest.mark.pipeline
@pytest.mark.parametrize(
    ("model", "key", "place", "says"),
    [("nothing", "key", "folder", "nothing"), ("instruct", "missing", "folder", "missing"),
     ("instruct", "key", "/proc/folder", "/proc/folder")],
)  # fmt: skip
def test_what_cannot_be_made_leaves_nothing(
    finished_clone: PipelineClone, tmp_path: Path, model: str, key: str, place: str, says: str
) -> None:
    key_pair(tmp_path)
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
    key_pair(tmp_path)
    with finished_clone.without(path, tmp_path / "kept"):
        command = (*SIGNED, "instruct", "--key", str(tmp_path / "key"), "--out", str(tmp_path / "folder"))
        said = finished_clone.run(*command, expect=1)
    shows(said.splitlines()[-1], "ObjectCache.fetched", f"{path} of workspace")
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
        shows(said.splitlines()[-1], "dvc._raise_if_changed", "data/ingest/train/manifest.json")
        said = finished_clone.run("greenhouse", "verify", str(folder), "--key", f"{key}.pub", expect=1)
        assert "data/ingest/train/manifest.json: not as dvc.lock records it" in said
    finally:
        manifest.write_bytes(whole)


@pytest.mark.long
@pytest.mark.pipeline
def test_where_nothing_is_recorded_only_signature_and_bytes_are_established(
    fresh_clone: PipelineClone, attested: tuple[Path, Path]
) -> None:
    key, folder = attested
    said = fresh_clone.run("greenhouse", "verify", str(folder), "--key", f"{key}.pub", expect=2)
    assert "no dvc.lock here records models/finetune/" in said
    assert "no claim differs, and not established is: chain, hashed, licences, parameters, scores, training" in said


# -- keys and fields ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["purpose:", "provider: [1, 2]"])
def test_an_owner_s_field_is_text(tmp_path: Path, line: str) -> None:
    (file := tmp_path / "owner.yaml").write_text(f"languages: English\n{line}\n")
    refuses(lambda: owner_fields(file), "owner_fields.2", "owner.yaml", line.partition(":")[0])


def test_a_key_of_another_kind_is_named_and_what_is_no_signature_is_said(tmp_path: Path) -> None:
    (tmp_path / "model.sig").write_text("{}")
    curve, rsa = tmp_path / "curve", tmp_path / "rsa"
    subprocess.run(["openssl", "ecparam", "-name", "secp112r1", "-genkey", "-noout", "-out", curve], check=True)
    subprocess.run(["openssl", "genrsa", "-out", rsa, "2048"], check=True, capture_output=True)
    subprocess.run(["openssl", "rsa", "-in", rsa, "-pubout", "-out", f"{rsa}.pub"], check=True, capture_output=True)
    for key in (curve, rsa, tmp_path / "none"):
        refuses(lambda key=key: signature.signing(key), "signature._with", key, "private key of an elliptic curve")
    with refused("signature._with", "rsa.pub", "public key of an elliptic curve"):
        signature.signed_by(tmp_path, tmp_path / "rsa.pub")
    assert signature.signed_by(tmp_path, Path(f"{key_pair(tmp_path)}.pub")).answer == "no"
