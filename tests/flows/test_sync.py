"""`greenhouse sync`: two clones, one remote; what one made, the other compares, with scores, licences, energy."""

import hashlib
import json
import re
from pathlib import Path

import pytest
import yaml

from components.core.files import write_text
from tests.errors import shows
from tests.flows.pipeline_clone import REMOTE, PipelineClone, cloned
from tests.flows.tracking.test_signed_folder import key_pair

pytestmark = [pytest.mark.pipeline]


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_fresh_clone_compares_what_another_made(finished_clone: PipelineClone, tmp_path: Path) -> None:
    clone = finished_clone
    clone.run(*REMOTE, str(tmp_path / "remote"))
    head = clone.git("rev-parse", "HEAD").strip()
    clone.git("add", "--force", "dvc.lock")
    clone.git("commit", "--quiet", "--message", "made here")
    clone.git("tag", "first")
    try:
        key, folder = key_pair(tmp_path), str(tmp_path / "FOLDER")
        clone.run("greenhouse", "export", "instruct", "--to", "signed", "--key", str(key), "--out", folder)
        mate, verify = cloned(clone, tmp_path / "mate"), ("greenhouse", "verify", folder, "--key", f"{key}.pub")
        assert "1 file of this clone pushed" in clone.run("greenhouse", "sync", "push")
        assert "by the records named alone: training" in mate.run(*verify, expect=3)  # it fetches what it reads
        mate.run("greenhouse", "sync", "pull")
        (ledger,) = (clone.root / ".greenhouse/ledger").glob("*.jsonl")
        at_once = re.sub(r'"([0-9a-f]{8}|[0-9a-f]{12})"', r'"x\1"', ledger.read_text())  # other runs
        write_text(mate.root / ".greenhouse/ledger" / ledger.name, at_once)
        said = mate.run(*verify, "--quick", expect=2)
        assert re.search(r"^    cost\.kwh\[0\]: signed [\d.e-]+, by the records here [\d.e-]+;", said, re.MULTILINE)
        with clone.edited("params.yaml", ("  heldout_kilobytes: 1", "  heldout_kilobytes: 2")):
            clone.run("dvc", "repro")
            clone.git("commit", "--quiet", "--all", "--message", "evaluated otherwise")
            clone.git("tag", "second")
            clone.run("greenhouse", "sync", "push")
        clone.git("push", "--quiet", str(mate.root), "HEAD:refs/heads/shared")
        mate.git("pull", "--quiet", "--tags")
        mate.run("dvc", "pull")
        said = mate.run("greenhouse", "compare", "first", "second")
    finally:
        clone.git("tag", "--delete", "first", "second")
        clone.git("reset", "--quiet", head)
        (clone.root / ".dvc/config.local").unlink()
    assert "evaluate.heldout_kilobytes: " in said
    assert "B better by" in said or "the same on every item" in said
    assert re.search(r"^licences: .*BSD-3-Clause [\d,]+", said, re.MULTILINE)
    energies = re.findall(r"^energy [AB], all stages behind it, failed runs included: ([\d.]+) kWh", said, re.MULTILINE)
    assert len(energies) == 2
    assert all(float(kwh) > 0 for kwh in energies)
    assert "not in this machine's ledger" not in said
    assert "up to date" in mate.run("dvc", "status")
    hashed = [out["path"] for entry in yaml.safe_load((mate.root / "dvc.lock").read_text())["stages"].values()
              for out in entry.get("outs", [])]  # fmt: skip
    assert not [path for path in hashed if "ledger" in path]


def test_no_remote_and_a_remote_that_is_gone_are_one_sentence(toy_clone: PipelineClone, tmp_path: Path) -> None:
    said = toy_clone.run("greenhouse", "sync", "pull", expect=1).splitlines()[-1]
    shows(said, "team_ledger._remote.1", "sync")
    toy_clone.run(*REMOTE, str(tmp_path / "remote"))
    said = toy_clone.run("greenhouse", "sync", "pull", expect=1).splitlines()[-1]
    shows(said, "team_ledger._remote.2", f"sync: DVC remote team ({tmp_path}/remote)")
    said = toy_clone.run("greenhouse", "compare", "first", "workspace")
    assert "nothing is there" in said
    assert "scores: the same evaluation" in said  # the rest is shown all the same
    assert "stages that both have count in both; each run by itself: `greenhouse cost`" in said


@pytest.mark.parametrize("renamed", [False, True])
def test_a_listing_that_leads_out_of_its_folder_is_refused_before_dvc_writes(
    toy_clone: PipelineClone, tmp_path: Path, renamed: bool
) -> None:
    """Whoever writes the remote could write any file; a listing under its own hash may come by a commit."""
    toy_clone.run(*REMOTE, str(tmp_path / "remote"))
    toy_clone.run("dvc", "push")
    lock = (toy_clone.root / "dvc.lock").read_text()
    md5 = next(out["md5"] for entry in yaml.safe_load(lock)["stages"].values() for out in entry["outs"]
               if out["path"] == "models/pretrain/causal")  # fmt: skip
    listing = tmp_path / "remote/files/md5" / md5[:2] / md5[2:]
    rows = json.loads(listing.read_text())
    rows.append({"md5": rows[0]["md5"], "relpath": "../../../../escaped.txt"})
    listing.chmod(0o644)
    text = json.dumps(sorted(rows, key=lambda one: one["relpath"]), sort_keys=True)
    listing.write_text(text)
    if renamed:
        other = hashlib.md5(text.encode()).hexdigest() + ".dir"
        (listing.parents[1] / other[:2]).mkdir(exist_ok=True)
        listing.rename(listing.parents[1] / other[:2] / other[2:])
        write_text(toy_clone.root / "dvc.lock", lock.replace(md5, other))
    mate = cloned(toy_clone, tmp_path / "mate")
    write_text(mate.root / "dvc.lock", (toy_clone.root / "dvc.lock").read_text())
    shows(mate.run("greenhouse", "sync", "pull", expect=1), "ObjectCache.files")
    assert not list(tmp_path.rglob("escaped.txt"))
