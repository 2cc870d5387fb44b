"""Filter toxic text without filtering the people it is about, and show whether that worked.

Blocklists "disproportionately remove text from and about minority individuals" (Dodge et al. 2021, arXiv 2104.08758).
So this stage (1) counts which groups are mentioned where (identity.py), (2) scores every sentence twice, as it stands
and with identity masked (toxicity.py), (3) drops documents by the masked scores, and (4) audits that filter: a template
probe that must pass (probe.py), and keep rates per group, stratified (disparity.py), beside those of the filter without
masking. What a lexicon and a bag of words cannot know is said in the report.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from itertools import chain
from pathlib import Path

import numpy as np

from components.core.errors import UserError
from components.core.files import read_json, write_json
from components.core.progress import Progress
from components.core.report import Report
from components.core.workers import Workers, at_most, pool
from components.corpus.corpus import CorpusWriter, Document, read_manifest, read_shard, reconcile, shard_paths
from components.params import Bias
from components.stages.bias.counts import Books
from components.stages.bias.report import write_report
from components.stages.bias.sentiment import Moments, sampled
from components.stages.bias.template_probe import Probe, gap, probe
from components.stages.bias.toxicity import scorer
from components.stages.bias.word_associations import Together, words_in
from components.text.identity_terms import GROUPS, mentions_and_masked
from components.text.sentences import sentences_of

BYTES_PER_WORKER = 3_000_000
"""A worker costs two seconds of imports before it scores anything: for less text than this none is started."""


@dataclass(frozen=True)
class Judged:
    """What the stage needs of one document.

    Attributes:
        sentences: number of different sentences. scored: those that the scorer could judge.
        toxic: sentences above the threshold with identity masked. toxic_raw: the same as the text stands.
        groups: bit set of the groups mentioned.
        worst: the sentence with the highest masked score, if the document is dropped.
    """

    source: str
    sentences: int
    scored: int
    toxic: int
    toxic_raw: int
    groups: int
    worst: str = ""


@dataclass
class Shard:
    """One shard, judged: its documents, and sentences counted by source and group.

    `sentences[source][group]` is [scored, toxic masked, toxic raw]; group "" is sentences without any mention.
    `together` counts groups with words, `sentiment` is of a sample; both of the source's distinct sentences.
    """

    documents: list[Judged] = field(default_factory=list)
    sentences: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    together: dict[str, Together] = field(default_factory=dict)
    sentiment: dict[str, dict[str, Moments]] = field(default_factory=dict)

    def to_json(self) -> dict:
        """As plain JSON."""
        return {
            "documents": [asdict(judged) for judged in self.documents],
            "sentences": self.sentences,
            "together": {source: found.to_json() for source, found in self.together.items()},
            "sentiment": {
                source: {group: vars(moments) for group, moments in groups.items()}
                for source, groups in self.sentiment.items()
            },
        }

    @classmethod
    def from_json(cls, raw: dict) -> "Shard":
        """The reverse of `to_json`."""
        return cls(
            [Judged(**row) for row in raw["documents"]],
            raw["sentences"],
            {source: Together.from_json(found) for source, found in raw["together"].items()},
            {
                source: {group: Moments(**moments) for group, moments in groups.items()}
                for source, groups in raw["sentiment"].items()
            },
        )


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
        UserError: the scorer cannot be had, or flags harmless sentences about some group more often than
            `params.max_probe_gap` allows; or the filter keeps some group less often than `params.min_keep_ratio`
            beyond chance.
    """
    progress = progress or Progress()
    with progress.phase("probe"):
        probes = probe_scorer(params)
        check_gap(probes[params.mask_identity], params)
    with progress.phase("score"):
        shards = judge_corpus(train, params, work, workers, progress)
    with progress.phase("write"):
        books = write_corpora(train, shards, params, out)
    report = write_report(books, probes, params, reports)
    for line in report.facts["warnings"]:
        progress.log(line)
    return report


def probe_scorer(params: Bias) -> dict[bool, list[Probe]]:
    """The template probe with identity masked (True) and not (False)."""
    judge = _scorer(params.scorer, params.min_known_words)
    return {mask: probe(judge, params.sentence_threshold, mask) for mask in (True, False)}


def check_gap(probes: list[Probe], params: Bias) -> None:
    """Stop if the scorer, as it will be used, judges harmless sentences by whom they are about."""
    if (found := gap(probes)) <= params.max_probe_gap:
        return
    worst, best = (choose(probes, key=lambda each: each.false_positive_rate) for choose in (max, min))
    cure = "raise bias.sentence_threshold or use another bias.scorer" if params.mask_identity else "set it to true"
    raise UserError(
        f"bias.scorer = {params.scorer} with mask_identity = {str(params.mask_identity).lower()} flags "
        f"{worst.false_positive_rate:.0%} of harmless sentences about {worst.group} and {best.false_positive_rate:.0%} "
        f"about {best.group}: a gap of {found:.3f}, over bias.max_probe_gap = {params.max_probe_gap}; {cure}"
    )


# -- judging -----------------------------------------------------------------------------------------------------------

_scorer = cache(scorer)


def judge_corpus(train: Path, params: Bias, work: Path, workers: Workers, progress: Progress) -> list[Shard]:
    """All shards, judged, in order. Those a killed run had finished are read from `work`.

    Memory grows with the documents, not with their text: 250 bytes for each (measured), so 0.5 GB for two million.
    """
    paths = shard_paths(train)
    worth = 1 + read_manifest(train).num_bytes // BYTES_PER_WORKER
    shards = []
    with pool(at_most(workers, worth)) as processes:
        judging = partial(judge_shard, params=params, work=work), paths, partial(judge_reads, work=work)
        for shard in processes.map(*judging):
            shards.append(shard)
            progress.update(len(shards), len(paths), "shards")
            progress.raise_if_stopped()
    return shards


def judge_shard(path: Path, *, params: Bias, work: Path) -> Shard:
    """Judge one shard and leave the result in `work`, where the next run finds it."""
    saved = _judged_file(path, work)
    if saved.exists():
        return Shard.from_json(read_json(saved))
    shard = judge(read_shard(path), params)
    write_json(saved, shard.to_json())
    return shard


def judge_reads(path: Path, *, work: Path) -> list[Path] | None:
    """What `judge_shard` reads; None if it is done."""
    return None if _judged_file(path, work).exists() else [path]


def _judged_file(path: Path, work: Path) -> Path:
    return work / f"judged-{path.stem}.json"


def judge(documents: Sequence[Document], params: Bias) -> Shard:
    """Judge documents. A sentence counts once per document: a play is not toxic because a speaker is called BASTARD."""
    texts = [sentences_of(document.text) for document in documents]
    numbers: dict[str, int] = {}
    places = [[numbers.setdefault(sentence, len(numbers)) for sentence in text] for text in texts]
    scored = Sentences.score(list(numbers), params)
    shard = Shard()
    for document, place in zip(documents, places, strict=True):
        here = np.unique(np.array(place, dtype=np.int64))
        shard.documents.append(_judged(document, here, scored, params))
        _count(shard.sentences.setdefault(document.source, {}), here, scored)
    for source in sorted({document.source for document in documents}):
        own = [place for document, place in zip(documents, places, strict=True) if document.source == source]
        _describe(shard, source, np.unique(np.array(list(chain.from_iterable(own)), dtype=np.int64)), scored)
    return shard


def _describe(shard: Shard, source: str, here: np.ndarray, scored: "Sentences") -> None:
    """What is said with which group, and how positively, in the distinct sentences of a source."""
    texts, groups = [scored.texts[at] for at in here], scored.groups[here]
    shard.together.setdefault(source, Together()).count(groups, [words_in(text) for text in texts])
    shard.sentiment[source] = sampled(texts, groups)


@dataclass(frozen=True)
class Sentences:
    """Distinct sentences with their scores: arrays of one entry per sentence."""

    texts: list[str]
    groups: np.ndarray
    known: np.ndarray
    toxic: np.ndarray
    toxic_raw: np.ndarray
    scores: np.ndarray

    @classmethod
    def score(cls, texts: list[str], params: Bias) -> "Sentences":
        """Score each as it stands, and again with identity masked where that changes it."""
        found = [mentions_and_masked(text) for text in texts]
        groups = np.array([bits for bits, _ in found], dtype=np.int64)
        mentioning = np.flatnonzero(groups)
        scorer_ = _scorer(params.scorer, params.min_known_words)
        raw = scorer_.score(texts)
        masked = raw.copy()
        if len(mentioning):
            masked[mentioning] = scorer_.score([found[index][1] for index in mentioning])
        known = ~np.isnan(raw) & ~np.isnan(masked)
        raw, masked = np.nan_to_num(raw), np.nan_to_num(masked)
        above = params.sentence_threshold
        used = np.where(known, masked if params.mask_identity else raw, -1.0)
        return cls(texts, groups, known, known & (masked > above), known & (raw > above), used)


def _judged(document: Document, here: np.ndarray, scored: Sentences, params: Bias) -> Judged:
    judged = Judged(
        source=document.source,
        sentences=len(here),
        scored=int(scored.known[here].sum()),
        toxic=int(scored.toxic[here].sum()),
        toxic_raw=int(scored.toxic_raw[here].sum()),
        groups=int(np.bitwise_or.reduce(scored.groups[here], initial=0)),
    )
    if not drops(judged, params):
        return judged
    worst = scored.texts[here[int(np.argmax(scored.scores[here]))]]
    return Judged(**asdict(judged) | {"worst": " ".join(worst.split())[:200]})


def _count(table: dict[str, list[int]], here: np.ndarray, scored: Sentences) -> None:
    """Add a document's sentences to the counts of its source."""
    here = here[scored.known[here]]
    groups, facts = (
        scored.groups[here],
        np.stack([np.ones(len(here), bool), scored.toxic[here], scored.toxic_raw[here]]),
    )
    for name, chosen in [("", groups == 0)] + [(name, groups >> bit & 1 == 1) for bit, name in enumerate(GROUPS)]:
        if name and not chosen.any():
            continue
        entry = table.setdefault(name, [0, 0, 0])
        entry[:] = [old + int(new) for old, new in zip(entry, facts[:, chosen].sum(axis=1), strict=True)]


def drops(judged: Judged, params: Bias, mask: bool | None = None) -> bool:
    """Whether the rule `toxic` drops the document; `mask` overrides `params.mask_identity` (what if)."""
    toxic = judged.toxic if (params.mask_identity if mask is None else mask) else judged.toxic_raw
    return toxic >= params.min_toxic_sentences and toxic > params.max_toxic_share * judged.scored


# -- writing -----------------------------------------------------------------------------------------------------------


def write_corpora(train: Path, shards: list[Shard], params: Bias, out: Path) -> Books:
    """Write kept and dropped documents, shard by shard, and gather what the report is made of."""
    books = Books()
    manifest = read_manifest(train)
    with CorpusWriter(out / "train") as kept, CorpusWriter(out / "dropped", dropped=True) as dropped:
        for path, shard in zip(shard_paths(train), shards, strict=True):
            books.add_sentences(shard.sentences)
            books.add_said(shard.together, shard.sentiment)
            for document, judged in zip(read_shard(path), shard.documents, strict=True):
                gone, raw = drops(judged, params), drops(judged, params, mask=False)
                books.add_document(judged.source, judged.groups, judged.scored, judged.sentences, gone, raw)
                if not gone:
                    kept.add(document)
                    continue
                toxic = judged.toxic if params.mask_identity else judged.toxic_raw
                dropped.add(
                    document, "toxic", f"{toxic} of {judged.scored} sentences score above {params.sentence_threshold}"
                )
                books.add_example(document, toxic, judged.scored, judged.worst)
    reconcile("bias", manifest.num_documents, kept.manifest.num_documents, Counter(dropped.rules))
    books.bytes_kept, books.bytes_in = kept.manifest.num_bytes, manifest.num_bytes
    return books
