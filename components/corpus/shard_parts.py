"""A corpus made shard by shard, by several processes, in a folder that survives kills.

Each input shard becomes one part: a small corpus of its own, finished when its manifest is there. At the end the parts
are moved together, in the order of the input, under one manifest. What is there already is not done again.
"""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from components.core.files import move, write_json
from components.corpus.corpus import CorpusWriter, Document, Manifest, Shard, read_manifest

_NEVER = 1 << 62


def write_part(folder: Path, documents: Iterable[Document]) -> Manifest:
    """Write `documents` as one shard (none if there are no documents)."""
    with CorpusWriter(_emptied(folder), shard_bytes=_NEVER) as writer:
        for document in documents:
            writer.add(document)
    return writer.manifest


def write_dropped_part(folder: Path, records: Iterable[tuple[Document, str, str]]) -> Manifest:
    """Write (document, rule, reason) records as one shard of a left-out corpus."""
    with CorpusWriter(_emptied(folder), shard_bytes=_NEVER, dropped=True) as writer:
        for document, rule, reason in records:
            writer.add(document, rule, reason)
    return writer.manifest


def is_whole(folder: Path) -> bool:
    """The part was finished, and its files are still here (they are moved away by `gather`)."""
    if not (folder / "manifest.json").exists():
        return False
    return all((folder / shard.file).exists() for shard in read_manifest(folder).shards)


def gather(parts: Iterable[Path], out: Path) -> Manifest:
    """Move the shards of `parts` together under `out`, with one manifest."""
    out.mkdir(parents=True, exist_ok=True)
    total, rules, dropped = Manifest(), Counter[str](), False
    for part in parts:
        manifest = read_manifest(part)
        for shard in manifest.shards:
            name = f"part-{len(total.shards):05d}.parquet"
            move(part / shard.file, out / name)
            total.shards.append(Shard(name, shard.sha256, shard.num_documents, shard.num_bytes))
        total.num_documents += manifest.num_documents
        total.num_bytes += manifest.num_bytes
        _add(total.sources, manifest.sources)
        _add(total.licences, manifest.licences)
        dropped |= "rules" in manifest.facts
        rules.update(manifest.facts.get("rules", {}))
    if dropped:
        total.facts["rules"] = dict(sorted(rules.items()))
    write_json(out / "manifest.json", asdict(total))
    return total


def _add(total: dict[str, dict[str, int]], more: dict[str, dict[str, int]]) -> None:
    for key, counts in more.items():
        entry = total.setdefault(key, {"num_documents": 0, "num_bytes": 0})
        for name, count in counts.items():
            entry[name] += count


def _emptied(folder: Path) -> Path:
    """`folder` without what an interrupted attempt left in it."""
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.iterdir():
        os.unlink(leftover)
    return folder
