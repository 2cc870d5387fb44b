"""Stage `bias`: filter toxic text without filtering the people it is about, and audit that filter.

Blocklists "disproportionately remove text from and about minority individuals" (Dodge et al. 2021,
arXiv 2104.08758). So this stage (1) counts which groups are mentioned where (identity_terms.py),
(2) scores every sentence twice, as it stands and with identity masked (toxicity.py), (3) drops
documents by the masked scores, and (4) audits that filter: a template probe that must pass
(template_probe.py), and removal rates per group, stratified (disparate_impact.py), beside those of
the filter without masking. The report names what a lexicon and a bag of words cannot know.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from components.core.errors import UserError
from components.core.files import write_json
from components.core.progress import Progress
from components.core.report import Report
from components.core.workers import Workers, at_most, pool
from components.corpus.corpus import CorpusWriter, Document, read_manifest, read_shard, reconcile, shard_paths
from components.params import Bias
from components.stages.bias.counts import BiasCounts, DocumentToxicity, JudgedShard, work_of
from components.stages.bias.report import write_report
from components.stages.bias.template_probe import Probe, gap, probe
from components.stages.bias.toxicity import scorer
from components.stages.bias.word_associations import LENGTHS, cooccurrences, length_classes, word_columns
from components.text.identity_terms import GROUPS, mentions_and_masked
from components.text.language import surely_not_english
from components.text.sentences import sentences_of

BYTES_PER_WORKER = 3_000_000
"""A worker costs two seconds of imports before it scores anything: for less text than this none is started."""


def filter_bias(
    *,
    train: Path,
    params: Bias,
    out: Path,
    reports: Path,
    work: Path,
    workers: Workers = 1,
    progress: Progress | None = None,
) -> Report:
    """Run the stage: `train` (a corpus) to `out/train` and `out/dropped`, the audit to `reports`.

    Raises:
        UserError: the scorer cannot be had, or flags harmless sentences about some group more often
            than `params.max_probe_gap` allows; or the filter removes some group more than
            `params.max_removal_ratio` times as often as others beyond chance.
    """
    progress = progress or Progress()
    with progress.phase("probe"):
        probes = probe_scorer(params)
        check_gap(probes[params.mask_identity], params)
    with progress.phase("score"):
        counts = judge_corpus(train, params, out, work, workers, progress)
    report = write_report(counts, probes, params, reports)
    for line in report.facts["warnings"]:
        progress.log(line)
    return report


def probe_scorer(params: Bias) -> dict[bool, list[Probe]]:
    """The template probe with identity masked (True) and not (False)."""
    judge = _scorer(params.scorer)
    return {mask: probe(judge, params.sentence_threshold, mask) for mask in (True, False)}


def check_gap(probes: list[Probe], params: Bias) -> None:
    """Raise `UserError` if the scorer, as configured, flags harmless sentences by the group they are about."""
    if (difference := gap(probes)) <= params.max_probe_gap:
        return
    worst, best = (choose(probes, key=lambda row: row.false_positive_rate) for choose in (max, min))
    cure = "raise bias.sentence_threshold or use another bias.scorer" if params.mask_identity else "set it to true"
    raise UserError(
        f"bias.scorer = {params.scorer} with mask_identity = {str(params.mask_identity).lower()} flags "
        f"{worst.false_positive_rate:.0%} of harmless sentences about {worst.group} and {best.false_positive_rate:.0%} "
        f"about {best.group}: a gap of {difference:.3f}, over bias.max_probe_gap = {params.max_probe_gap}; {cure}"
    )


# -- judging -----------------------------------------------------------------------------------------------------------

_scorer = cache(scorer)
_SAVED = TypeAdapter(JudgedShard)


def judge_corpus(train: Path, params: Bias, out: Path, work: Path, workers: Workers, progress: Progress) -> BiasCounts:
    """Judge all shards and write kept and dropped documents, in order; the counts.

    Shards that a killed run had judged are read from `work`. A shard's documents and tables, of up
    to `WORKS` works a source, are added up at once: kept, they would take up to 17 MB a shard.
    """
    paths, manifest, counts = shard_paths(train), read_manifest(train), BiasCounts()
    worth = 1 + manifest.num_bytes // BYTES_PER_WORKER
    judging = partial(judge_shard, params=params, work=work), paths, partial(judge_reads, work=work)
    with (
        CorpusWriter(out / "train") as kept,
        CorpusWriter(out / "dropped", dropped=True) as dropped,
        pool(at_most(workers, worth)) as processes,
    ):
        for done, shard in enumerate(processes.map(*judging)):
            counts.add_shard(shard)
            for pair in zip(read_shard(paths[done]), shard.documents, strict=True):
                write_document(*pair, counts, params, kept, dropped)
            progress.update(done + 1, len(paths), "shards")
            progress.raise_if_stopped()
    reconcile("bias", manifest.num_documents, kept.manifest.num_documents, Counter(dropped.rules))
    counts.bytes_kept, counts.bytes_in = kept.manifest.num_bytes, manifest.num_bytes
    return counts


def judge_shard(path: Path, *, params: Bias, work: Path) -> JudgedShard:
    """Judge one shard and leave the result in `work`, where the next run finds it."""
    saved = _judged_file(path, work)
    if saved.exists():
        return _SAVED.validate_json(saved.read_bytes())
    shard = judge(read_shard(path), params)
    write_json(saved, _SAVED.dump_python(shard, mode="json"))
    return shard


def judge_reads(path: Path, *, work: Path) -> list[Path] | None:
    """Files that `judge_shard` reads; None if its result is in `work`."""
    return None if _judged_file(path, work).exists() else [path]


def _judged_file(path: Path, work: Path) -> Path:
    return work / f"judged-{path.stem}.json"


def judge(documents: Sequence[Document], params: Bias) -> JudgedShard:
    """Judge documents. A sentence counts once per document: a play is not toxic because a speaker is called BASTARD."""
    texts = [sentences_of(document.text) for document in documents]
    numbers: dict[str, int] = {}
    rows = [[numbers.setdefault(sentence, len(numbers)) for sentence in text] for text in texts]
    scored = Sentences.score(list(numbers), params)
    shard = JudgedShard()
    for document, indices in zip(documents, rows, strict=True):
        sentence_rows = np.unique(np.array(indices, dtype=np.int64))
        shard.documents.append(judged := _judged(document, sentence_rows, scored, params))
        if judged.enough_scored:
            _count(shard.sentences.setdefault(document.source, {}), sentence_rows, scored)
    for source in sorted({document.source for document in documents}):
        works: dict[int, set[int]] = {}
        for document, judged, indices in zip(documents, shard.documents, rows, strict=True):
            if document.source == source and judged.enough_scored:
                works.setdefault(work_of(document), set()).update(indices)
        _describe(shard, source, works, scored)
    return shard


def _describe(shard: JudgedShard, source: str, works: dict[int, set[int]], scored: "Sentences") -> None:
    """Add a source's co-occurrences to the shard, from the distinct sentences of each of its works.

    Only of documents whose sentences the scorer knows: the lexica are English, and find "die" and
    "war" in German.
    """
    if not works:
        return
    rows = {work: np.array(sorted(sentences), dtype=np.int64) for work, sentences in sorted(works.items())}
    shard.together[source] = {
        work * LENGTHS + length: cooccurrences(scored.groups[part], scored.words[part])
        for work, indices in rows.items()
        for length in range(LENGTHS)
        if len(part := indices[scored.lengths[indices] == length])
    }


@dataclass(frozen=True)
class Sentences:
    """Distinct sentences with their scores: arrays of one entry per sentence."""

    texts: list[str]
    groups: np.ndarray
    words: np.ndarray
    lengths: np.ndarray
    known: np.ndarray
    toxic: np.ndarray
    toxic_raw: np.ndarray
    scores: np.ndarray

    @classmethod
    def score(cls, texts: list[str], params: Bias) -> "Sentences":
        """Score each as it stands, and again with identity masked where that changes it."""
        masks = [mentions_and_masked(text) for text in texts]
        groups = np.array([bits for bits, _ in masks], dtype=np.int64)
        mentioning = np.flatnonzero(groups)
        scorer_ = _scorer(params.scorer)
        raw = scorer_.score(texts)
        masked = raw.copy()
        if len(mentioning):
            masked[mentioning] = scorer_.score([masks[index][1] for index in mentioning])
        known = ~np.isnan(raw) & ~np.isnan(masked)
        for index in mentioning:  # the lexicon is English: "man" is "one" in German, a command in a French manual
            if not known[index] or surely_not_english(texts[index]):
                groups[index] = 0
        raw, masked = np.nan_to_num(raw), np.nan_to_num(masked)
        above = params.sentence_threshold
        used = np.where(known, masked if params.mask_identity else raw, -1.0)
        toxic, toxic_raw = known & (masked > above), known & (raw > above)
        return cls(texts, groups, word_columns(texts), length_classes(texts), known, toxic, toxic_raw, used)


def _judged(document: Document, rows: np.ndarray, scored: Sentences, params: Bias) -> DocumentToxicity:
    judged = DocumentToxicity(
        source=document.source,
        sentences=len(rows),
        scored=int(scored.known[rows].sum()),
        toxic=int(scored.toxic[rows].sum()),
        toxic_raw=int(scored.toxic_raw[rows].sum()),
        foreign=surely_not_english(document.text),
        work=work_of(document) if document.group else -1,
    )
    if judged.enough_scored:
        judged = replace(judged, groups=int(np.bitwise_or.reduce(scored.groups[rows], initial=0)))
    if not drops(judged, params):
        return judged
    worst = scored.texts[rows[int(np.argmax(scored.scores[rows]))]]
    return replace(judged, worst=" ".join(worst.split())[:200])


def _count(table: dict[str, list[int]], rows: np.ndarray, scored: Sentences) -> None:
    """Add a document's sentences to the counts of its source."""
    rows = rows[scored.known[rows]]
    groups = scored.groups[rows]
    facts = np.stack([np.ones(len(rows), bool), scored.toxic[rows], scored.toxic_raw[rows]])
    for name, mask in _group_masks(groups):
        if name and not mask.any():
            continue
        entry = table.setdefault(name, [0, 0, 0])
        entry[:] = [old + int(new) for old, new in zip(entry, facts[:, mask].sum(axis=1), strict=True)]


def _group_masks(groups: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Each group's name and mask of the mention sets (int64) that contain it; first "", the mask of the empty sets."""
    yield "", groups == 0
    for bit, name in enumerate(GROUPS):
        yield name, groups >> bit & 1 == 1


def drops(judged: DocumentToxicity, params: Bias, mask: bool | None = None) -> bool:
    """Whether the rule `toxic` drops the document; `mask` overrides `params.mask_identity` (what if)."""
    toxic = judged.toxic if (params.mask_identity if mask is None else mask) else judged.toxic_raw
    enough = judged.enough_scored and toxic >= params.min_toxic_sentences
    return enough and toxic > params.max_toxic_share * judged.scored


# -- writing -----------------------------------------------------------------------------------------------------------


def write_document(
    document: Document,
    judged: DocumentToxicity,
    counts: BiasCounts,
    params: Bias,
    kept: CorpusWriter,
    dropped: CorpusWriter,
) -> None:
    """Write a document to where it belongs, and count it."""
    is_dropped = drops(judged, params)
    counts.add_document(judged, is_dropped, drops(judged, params, mask=False))
    if not is_dropped:
        return kept.add(document)
    toxic = judged.toxic if params.mask_identity else judged.toxic_raw
    dropped.add(document, "toxic", f"{toxic} of {judged.scored} sentences score above {params.sentence_threshold}")
    counts.add_example(document, toxic, judged)
