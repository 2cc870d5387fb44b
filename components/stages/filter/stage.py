"""Drop poor text, redact personal data. Every document is scored first; limits are applied to the scores.

    out/train/     documents kept, personal data replaced by its kind
    out/dropped/   documents dropped: rule, and a reason with value and limit
    out/tags/      the scores of every document (Parquet, one file per input shard), so that other limits can be tried

One pass over the shards, each by itself.
"""

from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter

from components.core.errors import UserError
from components.core.files import write_json, written_whole
from components.core.progress import Progress
from components.core.report import Report
from components.core.workers import Pool, Workers, pool
from components.corpus import shard_parts
from components.corpus.corpus import Document, read_manifest, read_shard, reconcile, shard_paths
from components.params import Decontaminate, Filter
from components.similarity.decontaminate import RULE, ContaminationIndex, boilerplate_passages, contamination_index
from components.stages.filter import report as filter_report
from components.stages.filter.boilerplate import boilerplate
from components.stages.filter.pii import redact
from components.stages.filter.pii_packages import check_packages
from components.stages.filter.quality import scores
from components.stages.filter.rules import RULES, Columns, broken_rules, explain, limits_for
from components.stages.filter.types import FilterCounts
from components.text.language import identify_all, known_languages

TRANSFORM = "redact_pii"
"""Name of the redaction in a document's provenance."""
_COUNTS = TypeAdapter(FilterCounts)


def filter_corpus(
    *,
    train: Path,
    params: Filter,
    out: Path,
    reports: Path,
    work: Path,
    heldout: Path | None = None,
    items: Path | None = None,
    workers: Workers = 1,
    progress: Progress | None = None,
) -> Report:
    """Write `out/train`, `out/dropped` and `out/tags`; see the module docstring.

    Args:
        train: a corpus.
        heldout, items: held-out corpus, folder of evaluation items: text that training text must
            not contain.
        work: finished shards are kept here until all are; those that are there are not done again.
        workers: processes; they change no byte.

    Raises:
        UserError: the corpus is empty, a language in params is unknown, or nothing is left.
    """
    progress = progress or Progress()
    manifest = read_manifest(train)
    check(params, manifest.num_documents)
    shards = shard_paths(train)
    folders = [work / f"part-{number:05d}" for number in range(len(shards))]
    jobs = [ShardJob(*job, work / "contamination.npz") for job in zip(shards, folders, strict=True)]
    total = FilterCounts()
    with progress.phase("score"), pool(workers) as workers_pool:
        total.boilerplate_runs, total.boilerplate = index_rare_runs(params, jobs, heldout, items, work, workers_pool)
        for counts in workers_pool.map(partial(filter_shard, params), jobs, filter_reads):
            total.add(counts)
            progress.update(total.documents, manifest.num_documents, "documents", f"{total.dropped} dropped")
            progress.raise_if_stopped()
    kept = shard_parts.gather([folder / "kept" for folder in folders], out / "train")
    dropped = shard_parts.gather([folder / "dropped" for folder in folders], out / "dropped")
    (out / "tags").mkdir(parents=True)
    for number, folder in enumerate(folders):
        (folder / "tags.parquet").rename(out / "tags" / f"part-{number:05d}.parquet")
    reconcile("filter", manifest.num_documents, kept.num_documents, dropped.facts["rules"])
    if not kept.num_documents:
        worst = ", ".join(f"{rule} {count}" for rule, count in Counter(dropped.facts["rules"]).most_common(3))
        todo = "choose another set in filter.rules, or wider filter.limits"
        raise UserError(f"filter: all {total.documents} documents were dropped ({worst}); {todo}")
    with progress.phase("report"):
        report = filter_report.build(manifest, kept, dropped, total, out, params, reports)
    report.write(reports)
    for line in report.facts["warnings"]:
        progress.log(line)
    return report


def check(params: Filter, num_documents: int) -> None:
    """Check the settings against the corpus and the language model, before any work.

    Raises:
        UserError: the corpus is empty, a package or a language in params is unknown, or the limits
            leave no text.
    """
    if not num_documents:
        raise UserError("filter: the corpus has no documents; see reports/dedup for where they went")
    check_packages(params.redact)
    check_languages(params)
    for source in ("", *params.per_source):
        limits_for(params, source)


def check_languages(params: Filter) -> None:
    """Raise `UserError` for a language that the identifier does not know."""
    unknown = sorted(set(params.languages) - set(known_languages())) if params.languages else []
    if unknown:
        raise UserError(f"filter.languages: {unknown[0]!r} is no language the identifier knows; use ISO 639-1 codes")


@dataclass(frozen=True)
class ShardJob:
    """One shard to filter: where it is, the folder its results go to, the index of evaluation text that it uses."""

    shard: Path
    folder: Path
    index: Path


def index_rare_runs(
    params: Filter, jobs: list[ShardJob], heldout: Path | None, items: Path | None, work: Path, running: Pool
) -> tuple[int, list[tuple]]:
    """Write the index that `jobs` use: what training text must not hold, held-out runs only if they are rare in it.

    Returns:
        Number of held-out runs that are boilerplate, and passages of them.
    """
    ngram, everything = params.decontaminate.ngram, work / "everything.npz"
    index = contamination_index(heldout, items, ngram)
    index.save(everything)
    documents = np.zeros(len(index.by_length.get(ngram, [[]])[0]), np.int64)
    if heldout:
        count = partial(count_runs, everything, ngram)
        for some in running.map(count, [job.shard for job in jobs], lambda shard: [shard, everything]):
            documents += some
    index = index.with_boilerplate(documents, ngram)
    index.save(work / "contamination.npz")
    return boilerplate_passages(heldout, index, documents, ngram) if heldout else (0, [])


def count_runs(index: Path, ngram: int, shard: Path) -> np.ndarray:
    """Of how many documents of a shard each run of the index is part, (num_runs,) int64."""
    texts = [document.text for document in read_shard(shard)]
    return ContaminationIndex.load(index).held_out_runs(texts, ngram)


def filter_shard(params: Filter, job: ShardJob) -> FilterCounts:
    """Score, decide and redact one shard, unless that is done."""
    done, kept, dropped = job.folder / "done.json", job.folder / "kept", job.folder / "dropped"
    if filter_reads(job) is None:
        return _COUNTS.validate_json(done.read_bytes())
    documents = read_shard(job.shard)
    columns = tag(documents, params.languages)
    write_tags(job.folder / "tags.parquet", documents, columns)
    reasons = decide(params, [document.source for document in documents], columns)
    contact = contaminated(documents, ContaminationIndex.load(job.index), params.decontaminate, reasons)
    counts = FilterCounts(documents=len(documents), dropped=len(reasons))
    counts.count_contact(contact)
    languages = columns["language"].tolist()
    redacted = [redacted_document(*pair, params, counts) for pair in zip(documents, languages, strict=True)]
    shard_parts.write_split(kept, dropped, redacted, reasons)
    write_json(done, _COUNTS.dump_python(counts, mode="json"))
    return counts


def filter_reads(job: ShardJob) -> list[Path] | None:
    """Input of `filter_shard`; None if it is done."""
    written = job.folder / "done.json", job.folder / "tags.parquet"
    corpora = job.folder / "kept", job.folder / "dropped"
    done = all(path.exists() for path in written) and all(shard_parts.is_whole(folder) for folder in corpora)
    return None if done else [job.shard, job.index]


def tag(documents: list[Document], wanted: list[str]) -> Columns:
    """All scores of some documents, the language's included.

    Args:
        wanted: languages whose probability is asked.
    """
    texts = [document.text for document in documents]
    columns: Columns = scores(texts)
    columns |= zip(("language", "language_score", "language_kept"), identify_all(texts, wanted), strict=True)
    columns["boilerplate"] = boilerplate(texts, columns["language"].tolist())
    return columns


def write_tags(path: Path, documents: list[Document], columns: Columns) -> None:
    """Write the scores, one row per document, in order."""
    provenance = {name: [getattr(document, name) for document in documents] for name in ("id", "source", "location")}
    table = pa.table(provenance | columns)
    with written_whole(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def decide(params: Filter, sources: list[str], columns: Columns) -> dict[int, tuple[str, str]]:
    """Rules applied to the scores: index of each document to drop -> (rule, reason)."""
    result = {}
    by_source = np.array(sources)
    for source in sorted(set(sources)):
        rules = limits_for(params, source)
        broken = broken_rules(rules, columns)
        for number in np.flatnonzero(broken.any(axis=1) & (by_source == source)).tolist():
            values = {rule.score: float(columns[rule.score][number]) for rule in RULES}
            result[number] = explain(rules, broken[number], values)
    return result


def contaminated(
    documents: list[Document], index: ContaminationIndex, params: Decontaminate, reasons: dict[int, tuple[str, str]]
) -> list[list]:
    """Add to `reasons` the documents that contain evaluation text. Returns rows of `FilterCounts.contact`."""
    rows = []
    for number, hits in enumerate(index.hits([document.text for document in documents])):
        document = documents[number]
        for hit in hits:
            if hit.drops(params):
                reasons[number] = (RULE, hit.reason())
            rows.append([hit.name, document.source, document.location, hit.shared, hit.total, int(hit.drops(params))])
    return rows


def redacted_document(document: Document, language: str, params: Filter, counts: FilterCounts) -> Document:
    """The document without personal data; the finds are counted in `counts`."""
    text, kinds = redact(document.text, params.redact, language)
    if not kinds:
        return document
    counts.redacted += 1
    counts.personal.update({f"{document.source} {kind}": count for kind, count in kinds.items()})
    return document.changed(text, TRANSFORM)
