"""A corpus made shard by shard, by several processes, in a folder that survives kills.

Each input shard becomes one part: a small corpus of its own, finished when its manifest is there. At the end the parts
are moved together, in the order of the input, under one manifest. What is there already is not done again.
"""

import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from components.core.files import move, write_json
from components.corpus.corpus import CorpusWriter, Document, Manifest, read_manifest, reconcile

_NEVER = 1 << 62


def write_split(
    kept: Path, dropped: Path, documents: Sequence[Document], reasons: dict[int, tuple[str, str]]
) -> tuple[int, int]:
    """Write the documents of one input shard as two parts. Returns how many are kept and dropped.

    Args:
        reasons: index of each document to drop -> (rule, reason).
    """
    records = ((documents[number], *reason) for number, reason in sorted(reasons.items()))
    stays = ((document,) for number, document in enumerate(documents) if number not in reasons)
    counts = _write(kept, stays, False).num_documents, _write(dropped, records, True).num_documents
    reconcile(kept.as_posix(), len(documents), counts[0], counts[1:])
    return counts


def _write(folder: Path, rows: Iterable[tuple], dropped: bool) -> Manifest:
    shutil.rmtree(folder, ignore_errors=True)  # what an interrupted attempt left
    with CorpusWriter(folder, shard_bytes=_NEVER, dropped=dropped) as writer:
        for row in rows:
            writer.add(*row)
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
            total.add_shard(replace(shard, file=name))
        for table in ("sources", "licences"):
            for key, counts in getattr(manifest, table).items():
                total.count(table, key, **counts)
        dropped |= "rules" in manifest.facts
        rules.update(manifest.facts.get("rules", {}))
    if dropped:
        total.facts["rules"] = dict(sorted(rules.items()))
    write_json(out / "manifest.json", asdict(total))
    return total
