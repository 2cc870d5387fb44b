"""Attacks from outside a checkout: listings of a DVC remote, cleaning beside what others own, folders with links.

Each is prepared in a copy of a miniature clone with its remote and a folder of others beside it; then the real command
runs. All bytes around and in the clone before and after say what was written outside, deleted, or read through a link.
An attack is broken too where the command neither refuses nor names what it left in folders that it empties, or the
folder that it left whole. `HONEST` commands must work.
"""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import yaml

from benchmarks.bases.tiny import save_tiny
from benchmarks.proof.clone import Clone, kept_environment
from tests.flows.pipeline_clone import IDENTITY, make_clone
from tests.flows.toy import DVC_YAML, PROGRAM

SECRET = "private key of others "
OUT, REMOTE, THEIRS = "data/ingest/train", "remote/a/b/c/d/files/md5", "../../../../theirs"
NUMBERS = [" ".join(f"{n * k * 7919 % 99991:x}" for k in range(1, 10)) for n in range(10**6, 10**6 + 80)]
TABLE = "text,label\n" + "".join(f"{SECRET}{text},{text[-1] > '4'}\n" for text in NUMBERS)
TOKENIZER = {"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}}
CODE = str(Path("components", "toy.py"))
OBJECTS, ADOPTED = "greenhouse/.dvc/cache/files/md5", "models/adopted/mine"
OWN_OBJECT = f"{OBJECTS}/{hashlib.md5(b'other words').hexdigest()[:2]}/{hashlib.md5(b'other words').hexdigest()[2:]}"
DVC_FILE = "outs:\n- md5: {digest}\n  path: planted\n  {more}\n"
Said = list[Path] | list[str]
"""What the command must name; paths of the clone must also stay as they are."""
Plant = Callable[[Path], Said | None]


class Attack(NamedTuple):
    """Command, where {box} stands for the folder with the clone; what prepares that; where it runs, and its state;
    whether what is planted lies in a folder that the command empties."""

    command: str
    plant: Plant
    root: str = "greenhouse"
    state: str = ""
    emptied: bool = True


def write(folder: Path, *names: str, text: str = SECRET) -> list[Path]:
    """Files with this text."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return [folder / name for name in names]


def git(root: Path, *words: str) -> None:
    subprocess.run(["git", *IDENTITY, *words], cwd=root, check=True, capture_output=True)


def made(box: Path) -> None:
    """A clone whose miniature pipeline has run, with an adopted model and a remote; models and rows of others."""
    root, theirs = make_clone(box).root, box / "theirs"
    write(root, "dvc.yaml", text=DVC_YAML)
    write(root, CODE, text=PROGRAM)
    write(theirs, "key", "blobs/key", "train/part-00000.txt", "state/ledger/host.jsonl")
    write(theirs, "state/mlflow.db", text="")  # an empty database
    write(theirs, "model/weights.npz", "hub/blobs/1", text="weights")
    write(theirs, "rows/train.csv", "rows.csv", "rows2/train.csv", text=TABLE)
    (theirs / "hub/snapshots/1").mkdir(parents=True)
    (theirs / "hub/snapshots/1/weights.npz").symlink_to("../../blobs/1")
    save_tiny("bert", json.dumps(TOKENIZER), 8, theirs / "base")
    for command in ("dvc repro", f"greenhouse adopt {theirs}/model --name mine",
                    "dvc remote add --default team ../remote/a/b/c/d", "dvc push"):  # fmt: skip
        Clone(root).run(*command.split())
    git(root, "add", "--all")
    git(root, "add", "--force", "dvc.lock")
    git(root, "commit", "--quiet", "--message", "made")


# -- listings ----------------------------------------------------------------------------------------------------------


def listed(path: str, md5: str = "", out: str = OUT, place: str = REMOTE, name: str = "", more: str = "") -> Plant:
    """A listing of a remote, or of the cache, has one more row; the clone has neither outputs nor cache.

    Args:
        md5: of the row; default: of the folder's first file. place: of the objects.
        name: a file that names the listing by its true hash, dvc.lock or a .dvc file of its own with the keys `more`;
            default: its name stays.
    """

    def plant(box: Path) -> None:
        root = box / "greenhouse"
        stages = yaml.safe_load((root / "dvc.lock").read_text())["stages"].values()
        adopted = yaml.safe_load((root / "models/adopted/mine.dvc").read_text())["outs"][0]["md5"]
        hashes = {one["path"]: one["md5"] for stage in stages for one in stage["outs"]} | {ADOPTED: adopted}
        digest = old = hashes[out]
        rows = json.loads((box / REMOTE / old[:2] / old[2:]).read_bytes())
        rows += [{"md5": md5 or rows[0]["md5"], "relpath": path.format(box=box)}]
        data = json.dumps(sorted(rows, key=lambda row: row["relpath"]))
        if name:
            digest = f"{hashlib.md5(data.encode()).hexdigest()}.dir"
            text = (root / name).read_text().replace(old, digest) if name == "dvc.lock" else ""
            with (root / ".dvc/config").open("a") as config:
                config.write("['remote \"second\"']\n    url = ../../second\n")
            write(root, name, text=text or DVC_FILE.format(digest=digest, more=more))
        legacy = box / place / rows[0]["md5"][:2] / rows[0]["md5"][2:]
        if place.startswith("remote") and not legacy.exists():
            write(legacy.parent, legacy.name, text=(box / REMOTE / legacy.parent.name / legacy.name).read_text())
        target = box / place / digest[:2] / digest[2:]
        target.unlink(missing_ok=True)
        write(target.parent, target.name, text=data)
        for one in ("data", "reports", "models/pretrain", ADOPTED, *([] if "cache" in place else [".dvc/cache"])):
            shutil.rmtree(root / one, ignore_errors=True)

    return plant


PULL, UP, BESIDE = "greenhouse sync pull", f"{THEIRS}/planted", "../../theirs/planted"
LISTINGS: dict[str, Attack] = {
    "out of the checkout": Attack(PULL, listed(UP)),
    "through a folder of its own": Attack(PULL, listed(f"step-0/../{UP}")),
    "an absolute path": Attack(PULL, listed("{box}/theirs/planted")),
    "its true hash in dvc.lock": Attack(PULL, listed(UP, name="dvc.lock")),
    "code of the checkout": Attack(PULL, listed("../../../flows/planted.py")),
    "a hook of git": Attack(PULL, listed("../../../.git/hooks/planted")),
    "another output": Attack(PULL, listed("../heldout/planted")),
    "one more file of the folder": Attack(PULL, listed("planted")),
    "a hash that is a path": Attack(PULL, listed("planted", md5="aa" + "../" * 6 + "theirs/planted")),
    "a hash that is a path of others": Attack(PULL, listed("planted", md5="aa{box}/theirs/key")),
    "in the cache, not the remote": Attack(PULL, listed(UP, place="greenhouse/.dvc/cache/files/md5")),
    "of an adopted model": Attack(PULL, listed(UP, out=ADOPTED)),
    "of a .dvc file that git does not know": Attack(PULL, listed(BESIDE, name="planted.dvc", more="hash: md5")),
    "of a .dvc file of DVC 2": Attack(PULL, listed(BESIDE, name="planted.dvc", place="remote/a/b/c/d")),
    "of a .dvc file in another remote": Attack(PULL, listed(BESIDE, name="planted.dvc", place="second/files/md5",
                                                      more="hash: md5\n  remote: second")),
    "read by export": Attack("greenhouse export adopted/mine --to hub", listed(UP, out=ADOPTED)),
    "read by card": Attack("greenhouse card adopted/mine", listed(UP, out=ADOPTED)),
    "read by compare": Attack("greenhouse compare workspace", listed(UP, out="reports/evaluate/details")),
}  # fmt: skip


# -- clean -------------------------------------------------------------------------------------------------------------


def kept(*names: str, links: dict[str, str] | None = None, run: str = "", said: tuple[str, ...] = ()) -> Plant:
    """Files of others in the clone, links there in the place of folders, and a command of the shell before.

    Args:
        said: what must be named as well, below the folder with the clone.
    """

    def plant(box: Path) -> Said:
        root = box / "greenhouse"
        if run:
            environment = kept_environment(Clone(root))
            subprocess.run(["bash", "-ec", run.replace("{box}", str(box))], cwd=root, env=environment, check=True)
        for name, target in (links or {}).items():
            shutil.rmtree(root / name, ignore_errors=True)
            (root / name).symlink_to(box / target)
        return [*write(root, *names), *(box / name for name in said)]

    return plant


def claimed(box: Path) -> Said:
    """A listing in the cache, with the name of the true one, that names a file of one's own with its hash."""
    (own,) = write(box / "greenhouse", f"{OUT}/own.txt")
    digest = hashlib.md5(SECRET.encode()).hexdigest()
    files = {path: path.read_bytes() for path in (box / "greenhouse/data").rglob("*") if path.is_file()}
    listed("own.txt", md5=digest, place="greenhouse/.dvc/cache/files/md5")(box)
    for path, data in files.items():
        write(path.parent, path.name, text=data.decode())
    return [own]


CLEAN = "greenhouse clean --all --ledger"
STATE = ("greenhouse/.greenhouse",)
OF_MAIN = "mkdir -p .greenhouse/ledger .greenhouse/prefect; touch .greenhouse/{mlflow.db,ledger/a.jsonl,prefect/b}"
TREE = f"{OF_MAIN}; git update-ref refs/exps/aa/bb HEAD; git worktree add -q ../tree"
ADDED = "printf 'other words' > own; dvc add -q own; rm own"
CLEANED: dict[str, Attack] = {
    "own files in four folders": Attack(CLEAN, kept("data/a", f"{OUT}/b", f"{OUT}/deep/.c", "models/d", "reports/e",
                                              "models/pretrain/causal/f", "exports/g", "exports/a b/h")),
    "a report edited by hand": Attack(CLEAN, kept("reports/evaluate/details/facts.json")),
    "a state folder without marker": Attack(CLEAN, kept(said=("theirs/state",)), state="theirs/state"),
    "files of others in our state folder": Attack(CLEAN, kept(
        run="GREENHOUSE_STATE={box}/state greenhouse sync push; mkdir -p {box}/state/own; echo x > {box}/state/own/n",
        said=("state/own",)), state="state"),
    "the state of another clone": Attack(CLEAN, kept(
        run=f"{OF_MAIN}; cp -a . ../second", said=STATE), "second", STATE[0]),
    "from a worktree": Attack(CLEAN, kept(run=TREE, said=STATE), "tree"),
    "from a copy of a worktree": Attack(CLEAN, kept(
        run=f"{TREE}; cp -a ../tree ../second", said=STATE), "second"),
    "from a copy with the same cache": Attack(CLEAN, kept(
        run='dvc cache dir --local "$PWD/.dvc/cache"; cp -a . ../second'), "second"),
    "a link to a moved output": Attack(CLEAN, kept(run=f"rm -r ../theirs/train; cp -r {OUT} ../theirs/train",
                                             links={OUT: "theirs/train"})),
    "a link to a backup of models": Attack(CLEAN, kept(run="cp -r models/pretrain ../theirs/backup",
                                                 links={"models/pretrain": "theirs/backup"})),
    "a state folder that is a link": Attack(CLEAN, kept(links={".greenhouse": "theirs/state"})),
    "an adopted model": Attack(CLEAN, kept(said=(f"greenhouse/{ADOPTED}/weights.npz",))),
    "the one copy of a .dvc file's data": Attack(CLEAN, kept(run=ADDED, said=(OWN_OBJECT,))),
    "the one copy of another branch's data": Attack(CLEAN, kept(said=(OWN_OBJECT,), run=(
        f"git checkout -qb other; {ADDED}; git add own.dvc .gitignore; "
        "git -c user.name=a -c user.email=a@b commit -qm own; git checkout -q main"))),
    "a listing that names own files": Attack(CLEAN, claimed),
    "an output outside": Attack(CLEAN, kept(
        run=f"rm -r ../theirs/train; cp -r {OUT} ../theirs/; sed -i s#{OUT}#data/../../theirs/train# dvc.lock")),
    "an environment of one's own": Attack(CLEAN, kept(".venv/bin/own")),
    "own files beside those of tools": Attack(CLEAN, kept(
        "build/lib/own.py", "own.egg-info/own", str(Path("tests", "__pycache__", "own"))), emptied=False),
}  # fmt: skip


# -- links -------------------------------------------------------------------------------------------------------------


def linked(name: str, target: str) -> Plant:
    """A file of a folder of others is a link to another of theirs, which lies outside of that folder."""

    def plant(box: Path) -> Said:
        path = box / "theirs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_symlink():
            path.rename(box / "theirs" / path.name)
        path.unlink(missing_ok=True)
        path.symlink_to(target.format(box=box))
        return [path.name]

    return plant


ADOPT = "greenhouse adopt {box}/theirs/model --name new"
BASE = "greenhouse edit base {box}/theirs/base --branch classify"
HUB, ROWS = "greenhouse adopt {box}/theirs/hub/snapshots/1 --name new", "greenhouse edit rows {box}/theirs/rows"
LINKS: dict[str, Attack] = {
    "a vocabulary": Attack(ADOPT, linked("model/vocab.txt", "../key")),
    "an absolute link, deep": Attack(ADOPT, linked("model/onnx/config.txt", "{box}/theirs/key")),
    "a folder": Attack(ADOPT, linked("model/checkpoint-12", "../blobs")),
    "the card": Attack(ADOPT, linked("model/README.md", "../key")),
    "the weights": Attack(ADOPT, linked("model/weights.npz", "../weights.npz")),
    "blobs of others": Attack(HUB, linked("hub/snapshots/1/vocab.txt", "../../../blobs/key")),
    "a blob that is a link": Attack(HUB, linked("hub/blobs/1", "../../key")),
    "a link of the hub's cache to its parent": Attack(HUB, linked("hub/snapshots/1/vocab.txt", "../../../key")),
    **{f"a base's {name}": Attack(BASE, linked(f"base/{name}", f"../{name}"))
       for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")},
    "a file of rows": Attack(ROWS, linked("rows/train.csv", "../rows.csv")),
    "a folder of rows": Attack(ROWS, linked("rows/more", "../rows2")),
    "a signed folder's card": Attack("greenhouse verify {box}/theirs/model", linked("model/card.json", "../key")),
}  # fmt: skip
HONEST: dict[str, Attack] = {
    "a pull": Attack(PULL, lambda box: shutil.rmtree(box / "greenhouse/data")),
    "a model": Attack(ADOPT, lambda box: None), "the hub's cache": Attack(HUB, lambda box: None),
    "a base": Attack(BASE, lambda box: None), "rows": Attack(ROWS, lambda box: None),
    "everything": Attack(CLEAN, lambda box: None),
}  # fmt: skip


# -- measuring ---------------------------------------------------------------------------------------------------------


def contents(box: Path) -> dict[Path, bytes]:
    """Bytes of all files, and targets of links; of git only hooks and references of experiments."""
    found = {}
    for folder, below, names in os.walk(box):
        for path in (Path(folder, name) for name in (*names, *below)):
            seen = ".git" not in path.parts or {"hooks", "exps"} & {*path.parts}
            if seen and (path.is_symlink() or path.is_file()):
                found[path] = os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
    return found


def tried(box: Path, group: str, attack: Attack) -> dict[str, object]:
    """Exit status and last line of a command; files it wrote outside, files of others gone, whether it broke."""
    named, root = attack.plant(box) or [], box / attack.root
    more = {"HOME": str(box / "home")} | ({"GREENHOUSE_STATE": str(box / attack.state)} if attack.state else {})
    before = contents(box)
    done = Clone(root).tried(*attack.command.format(box=box).split(), **more)
    after, said = contents(box), done.stdout + done.stderr
    new = [path for path in after if after[path] != before.get(path)]
    ours = [path for path in {**before, **after} if path.is_relative_to(root) or path.is_relative_to(box / "state")]
    state = [path for path in new if ".greenhouse" in path.parts]  # a worktree works with the main checkout's
    planted = [path for path in new if group == "listings" and "planted" in str(path)]
    escaped = {*new} - {*ours, *state} | {*planted}
    stay = {path for path in before if {path, *path.parents} & {*named}} | {*before} - {*ours}
    lost = [path for path in stay if path not in after or (path in ours and after[path] != before[path])]
    secrets = [path for path in new if SECRET.encode() in after[path]]
    followed = group == "links" and (done.returncode == 0 or bool(secrets) or SECRET in said)
    whole = {line.split(": ")[-1] + "/" for line in said.splitlines() if line.startswith("Left")}
    told = attack.emptied and (group != "clean" or not done.returncode)
    unnamed = [one for one in map(str, named) if told and ".dvc/cache" not in one and one not in said]
    unnamed = [one for one in unnamed if not any(one.startswith(folder) for folder in whole)]
    accepted = group == "listings" and done.returncode == 0
    harm = {"paths_escaped": len(escaped), "foreign_files_deleted": len(lost), "links_followed": int(followed)}
    ends = {
        "status": done.returncode,
        "unnamed": len(unnamed),
        "broken": bool(any(harm.values()) or unnamed or accepted),
    }
    return harm | ends | {"said": " ".join(said.split()[-40:]).replace(str(box), "")}


def measure(folder: Path) -> list[dict[str, object]]:
    """A row for each attack. Raises `AssertionError`: a command fails where nobody attacks."""
    if not (folder / "pattern").exists():
        made(folder / "pattern")
    rows = []
    for group, attacks in {"honest": HONEST, "listings": LISTINGS, "clean": CLEANED, "links": LINKS}.items():
        for name, attack in attacks.items():
            shutil.rmtree(folder / "box", ignore_errors=True)
            shutil.copytree(folder / "pattern", folder / "box", symlinks=True)
            rows.append({"group": group, "attack": name} | tried(folder / "box", group, attack))
            assert group != "honest" or rows[-1]["status"] == 0, rows[-1]
            print(rows[-1], flush=True)
    return rows
