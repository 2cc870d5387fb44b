"""Bad records: sound ones lost, and broken ones not reported, of a folder with both.

The breaks are those that files have: truncated JSON, wrong types, invalid UTF-8, lone surrogates, NUL, huge, empty,
repeated ids. The sound records that datatrove loses of the same folder are counted too.
"""

import json
import random
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.data_corpus import Corpus
from benchmarks.results import goal
from components.corpus.corpus import read_corpus
from components.params import Files, Ingest
from components.stages.ingest.stage import ingest

SOUND, BROKEN_SHARE, FILES, HUGE_CHARS = 3000, 0.1, 6, 100_000
BREAKS: dict[str, Callable[[str, str], bytes]] = {
    "invalid_json": lambda name, text: json.dumps({"id": name, "text": text}).encode()[: len(text) // 2],
    "wrong_type": lambda name, text: json.dumps({"id": name, "text": [text]}).encode(),
    "missing_field": lambda name, text: json.dumps({"id": name, "body": text}).encode(),
    "invalid_utf8": lambda name, text: b'{"id": "%s", "text": "caf\xe9 %s"}' % (name.encode(), b"x" * 200),
    "lone_surrogate": lambda name, text: json.dumps({"id": name, "text": text + "\ud800"}).encode(),
    "nul": lambda name, text: json.dumps({"id": name, "text": text + "\0"}).encode(),
    "too_long": lambda name, text: json.dumps({"id": name, "text": "long " * HUGE_CHARS}).encode(),
    "empty": lambda name, text: json.dumps({"id": name, "text": ""}).encode(),
    "duplicate_id": lambda name, text: json.dumps({"id": f"{name[0]}-0", "text": text}).encode(),
}


def write_folder(folder: Path, texts: list[str]) -> tuple[dict[str, str], list[tuple[str, int, str]]]:
    """Write the files; sound texts by id, and (file, line, rule) of every broken record."""
    chance = random.Random(5)
    sound: dict[str, str] = {}
    broken: list[tuple[str, int, str]] = []
    kinds = list(BREAKS)
    for number in range(FILES):
        lines: list[bytes] = []
        for at, text in enumerate(texts[number::FILES]):
            name = f"{number}-{at}"
            if at and chance.random() < BROKEN_SHARE:
                rule = kinds[len(broken) % len(kinds)]
                lines.append(BREAKS[rule](f"{name}-bad", text))
                broken.append((f"{number}.jsonl", len(lines), rule))
            lines.append(json.dumps({"id": name, "text": text}).encode())
            sound[name] = text
        (folder / f"{number}.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    return sound, broken


def measure(corpus: Corpus) -> tuple[dict, list[dict]]:
    """Figures and the goal: sound records lost, and broken ones without file, line, offset and reason."""
    texts = []
    for each in read_corpus(corpus.folder):
        texts.append(each.text[:2000])
        if len(texts) == SOUND:
            break
    with tempfile.TemporaryDirectory(prefix="greenhouse-bench-") as temporary:
        root = Path(temporary)
        (root / "input").mkdir()
        (root / "opt_out.txt").touch()
        sound, broken = write_folder(root / "input", texts)
        found = by_datatrove(root / "input")
        source = Files(name="records", path=str(root / "input"))
        params = Ingest(sources=[source], watch=str(root / "input"), max_quarantine=1.0, max_chars=HUGE_CHARS)
        paths: dict[str, Any] = {"out": root / "out", "reports": root / "reports", "work": root / "work"}
        ingest(root=root, params=params, **paths)
        kept = Counter(each.text for part in ("train", "heldout") for each in read_corpus(root / "out" / part))
        lost = (Counter(sound.values()) - kept).total()
        evidence = [json.loads(line) for line in (root / "out/quarantine/records.jsonl").read_text().splitlines()]
        reported = {(row["file"], row["line"], row["rule"]) for row in evidence if row["reason"] and row["sha256"]}
        data = {path.name: path.read_bytes() for path in (root / "input").iterdir()}
        offsets_right = all(data[row["file"]][: row["byte_offset"]].count(b"\n") == row["line"] - 1 for row in evidence)
    missed = len(set(broken) - reported) + len(reported - set(broken)) + (not offsets_right)
    results = {
        "bad_records": {
            "sound": len(sound),
            "broken": len(broken),
            "sound_lost": lost,
            "broken_not_booked": missed,
            "sound_lost_by_datatrove": len(sound) - found,
        }
    }
    return results, [
        goal("bad_records_lost", float(lost + missed), 0, "lower", says="sound records lost, broken ones not reported")
    ]


def by_datatrove(folder: Path) -> int:
    """Number of sound records that datatrove's reader gives of the same folder, file by file as its tasks do."""
    from datatrove.pipeline.readers import JsonlReader

    from benchmarks.data_peers import quiet

    quiet()
    count = 0
    for path in sorted(folder.glob("*.jsonl")):
        try:
            for each in JsonlReader(str(folder), glob_pattern=path.name).run():
                count += not each.id.endswith("-bad") and each.id != "0-0"
        except Exception as error:  # what ends one of its tasks
            print(f"datatrove: {path.name}: {type(error).__name__}")
    return count + 1  # the record whose id others repeat
