"""Ten planted documents, quoted and nearly copied, are forgotten: which places with their words did nobody name?

Quotations of 6 to 40 words stand in other documents, rows for fine-tuning, evaluation items, bad records, a file in git
and one in MLflow's folder, and in every form of forms.py in another worktree of git. After the removal and the purge
every byte that is left is searched by leftovers.py, which shares no code with forgetting, and compared with the places
that the commands printed.
"""

import base64
import json
import random
import re
from pathlib import Path

from benchmarks.proof.clone import Clone, made, once
from benchmarks.proof.forms import FORMS
from benchmarks.proof.leftovers import places_with, runs_of, words_of
from components.core.files import md5_file

NUM_DOCUMENTS, NUM_WORDS, NUM_ROWS = 10, 400, 200
QUOTED = (6, 7, 8, 10, 12, 15, 20, 25, 30, 40)
"""Words of the quotations of each document."""
CHANGED = 25
"""Of the near-copies every so many words one is another."""
QUERY = "planted/"
SOURCES = ("texts/",)
ITEMS = "eval_sets"
SETTINGS = {"finetune.instruct.data": "rows.jsonl", "ingest.max_quarantine": 1.0}
NAMED = re.compile(r"^ {4,8}([^:\n]+): ([^:\n]+)$", re.MULTILINE)
"""Lines `owner: path, path` of the answers."""


def prose(words: list[str]) -> str:
    """Sentences of twelve of these words."""
    rows = (" ".join(words[start : start + 12]) for start in range(0, len(words), 12))
    return ". ".join(row[:1].upper() + row[1:] for row in rows) + ".\n"


def texts_of(vocabulary: list[str]) -> list[list[str]]:
    """The words of the documents, in an order that no other text has."""
    chance = random.Random(46)
    return [[chance.choice(vocabulary) for _ in range(NUM_WORDS)] for _ in range(NUM_DOCUMENTS)]


def quotes_of(texts: list[list[str]], where: int) -> list[str]:
    """A quotation of each document, from another part of it for each kind of place."""
    starts = [20 + 50 * where + number for number in range(NUM_DOCUMENTS)]
    return [" ".join(text[at : at + size]) for text, at, size in zip(texts, starts, QUOTED, strict=True)]


def files_of(texts: list[list[str]], others: list[str]) -> dict[str, bytes]:
    """The sources: the documents, near-copies of them, essays that quote them, and bad records that do."""
    found = {f"{QUERY}{number}.txt": prose(words) for number, words in enumerate(texts)}
    for number, words in enumerate(texts):
        copied = [
            other if at % CHANGED == 0 else word for at, (word, other) in enumerate(zip(words, others, strict=False))
        ]
        found[f"copies/{number}.txt"] = prose(copied)
    for number, quote in enumerate(quotes_of(texts, 0)):
        essay = others[number * NUM_WORDS : (number + 1) * NUM_WORDS]
        found[f"essays/{number}.txt"] = f"{prose(essay[:200])}He says: {quote}; so he says. {prose(essay[200:])}"
    bad = [f'{{"text": "\\ud800 {quote}"}}\n' for quote in quotes_of(texts, 1)]
    found["bad.jsonl"] = "".join(bad) + json.dumps({"text": prose(others[:NUM_WORDS])}) + "\n"
    return {name: text.encode() for name, text in found.items()}


def besides(texts: list[list[str]]) -> dict[str, str]:
    """Files of the checkout that are no source: rows, evaluation items (one in base64), a note that git keeps."""
    quotes, rows = quotes_of(texts, 2), list[str]()
    for number in range(NUM_ROWS):
        said = quotes[number // 20] if number % 20 == 0 else f"It is number {number} of the list."
        rows.append(json.dumps({"prompt": f"What is number {number}?", "completion": said}) + "\n")
    items, note = quotes_of(texts, 3), quotes_of(texts, 4)
    packed = base64.b64encode(items[-1].encode()).decode()
    return {
        "rows.jsonl": "".join(rows),
        f"{ITEMS}/planted.txt": "\n".join([*items[:-1], packed]),
        "NOTES.txt": "\n".join(note),
    }


def measure(parent: Path, files: dict[str, bytes], preset: str, every: int) -> tuple[dict, list[dict]]:
    """Plant, forget, purge, search.

    Returns:
        how many documents and places there were; a row per place with words that was left: whether an output named it.
    """
    vocabulary = sorted({word for data in files.values() for word in words_of(data.decode()) if word.isalpha()})
    texts, chance = texts_of(vocabulary), random.Random(47)
    others = [chance.choice(vocabulary) for _ in range(NUM_DOCUMENTS * NUM_WORDS)]
    wanted = {run for words in texts for run in runs_of(" ".join(words))}
    clone, remote = Clone(parent / "planted"), parent / "planted-remote"

    def push() -> int:
        """The number of places with their words."""
        clone.run("dvc", "remote", "add", "--local", "--force", "--default", "team", str(remote))
        clone.run("dvc", "push")
        (kept := clone.root / ".greenhouse/mlartifacts/examples.md").parent.mkdir(exist_ok=True)
        kept.write_text(quotes_of(texts, 0)[-1])
        clone.git("worktree", "add", "--quiet", "--detach", str(beside := parent / "planted-worktree"))
        for name, form in FORMS.items():
            (beside / name).write_bytes(form(quotes_of(texts, 0)[-1]))
        return len(places_with(clone.root, wanted) | places_with(remote, wanted))

    if not (clone.root / "NOTES.txt").exists():
        made(clone.root, files | files_of(texts, others), preset, every, SETTINGS, besides(texts))
    if not (parent / "planted.json").exists():
        clone.run("greenhouse", "run", "--yes")  # items that quote the copies contaminate them
    before = once(parent / "planted.json", push)
    said = once(parent / "planted-applied.json", lambda: clone.run("greenhouse", "forget", QUERY, "--apply"))
    said += once(parent / "planted-purged.json", lambda: clone.run("greenhouse", "forget", QUERY, "--purge"))
    left = places_with(clone.root, wanted, SOURCES) | places_with(remote, wanted)
    missed = not_named(clone.root, left, said)
    rows = [{"place": place, "named": place not in missed} for place in sorted(left)]
    rows += [{"place": f"worktree: {name}", "named": re.search(rf"[ /]{name}\b", said) is not None} for name in FORMS]
    return {"documents": NUM_DOCUMENTS, "places_before": before, "places_left": len(rows)}, rows


def not_named(root: Path, left: dict[str, tuple[str, str]], said: str) -> list[str]:
    """Places that are neither named nor, by their MD5, the same bytes as one that is."""
    found = [(owner, path) for owner, files in NAMED.findall(said) for path in files.split(", ")]
    places = {"git": "git:", "MLflow": ".greenhouse/mlartifacts/"}
    named = {f"{places.get(owner, '')}{path}" for owner, path in found}
    named |= {path for owner, path in found if owner == "git"}  # as it lies in the checkout
    same = {md5_file(root / name) for name in named if (root / name).is_file()}
    listed = [row for at in root.glob(".dvc/cache/**/*.dir") for row in json.loads(at.read_bytes())]
    same |= {row["md5"] for row in listed if any(name.endswith(f"/{row['relpath']}") for name in named)}
    return sorted(place for place, (_, digest) in left.items() if place not in named and digest not in named | same)
