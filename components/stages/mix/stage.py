"""Stage `mix`: weigh sources, and add text that no source has: curriculum and canaries.

Weights are exact: 1 takes a source once, 2 twice, and 0.5 the documents that come first in the order of a seeded hash,
until half of the source's bytes are reached, so the share is off by less than a document and a larger weight only adds
documents. Documents that mention a group of people may weigh more, as exactly (group_weights.py). Generated text has
its own source names (`curriculum/<task>`, `canary`) and is counted apart everywhere. A shuffle across the whole corpus
(shuffle.py) follows, so that a prefix of the tokens is a fair sample of the mixture.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.core.errors import UserError
from components.core.files import write_json
from components.core.progress import Progress
from components.core.report import Report
from components.core.workers import Workers, pool
from components.corpus.corpus import CorpusWriter, Document, read_corpus, reconcile, shard_paths
from components.corpus.shuffle import key, shuffled
from components.params import Mix
from components.stages.mix import group_weights
from components.stages.mix.report import MixtureCounts, write_report
from components.synthetic import canaries, counterfactual, curriculum
from components.synthetic.canaries import Canary

BUCKET_BYTES = 32_000_000
"""Text per bucket of the shuffle: what bounds its memory."""
ITEMS_PER_DOCUMENT = 4
"""Curriculum items in one document, a line each: fewer rows for the same text."""


@dataclass
class MixEntry:
    """One document of the input, without its text.

    Attributes:
        num_copies: how often it is in the output. size: bytes of its text.
        groups: bit set of the groups it mentions; 0 where no group has a weight.
        num_augmented: how many more copies augmentation adds.
        swapped: bytes of the gender-swapped text; 0 where the swap changes nothing (or is not asked for).
    """

    id: str
    source: str
    size: int
    num_copies: int = 0
    num_augmented: int = 0
    swapped: int = 0
    groups: int = 0


@dataclass
class MixturePlan:
    """The mixture, decided before any text is written."""

    entries: list[MixEntry]
    canaries: list[Canary] = field(default_factory=list)
    curriculum_bytes: int = 0

    @property
    def real_bytes(self) -> int:
        """Bytes of real text in the output, augmentation left out."""
        return sum(entry.size * entry.num_copies for entry in self.entries)


def mix(
    *,
    train: Path,
    params: Mix,
    out: Path,
    reports: Path,
    work: Path,
    workers: Workers = 1,
    progress: Progress | None = None,
) -> Report:
    """Run the stage: `train` (a corpus) to `out/train`, `out/dropped` (dropped by weight) and `out/canaries.json`.

    Raises:
        UserError: a weight names no source, or the weights leave nothing.
        Stopped: `progress` asked to stop.
    """
    progress = progress or Progress()
    with progress.phase("plan"):
        plan = make_plan(train, params, workers, progress)
    with progress.phase("write"):
        mixture = write_mixture(train, plan, params, out, work, progress)
    report = write_report(mixture, plan.entries, params, reports)
    for warning in report.facts["warnings"]:
        progress.log(warning)
    return report


# -- planning ----------------------------------------------------------------------------------------------------------


def make_plan(train: Path, params: Mix, workers: Workers = 1, progress: Progress | None = None) -> MixturePlan:
    """Plan of the mixture: copies of each document, augmented copies, and how much is generated.

    Memory grows with the documents, not with their text: 300 bytes for each (measured), so 0.6 GB for two million.
    """
    progress = progress or Progress()
    entries = [entry for path in shard_paths(train) for entry in _entries(path, progress)]
    check_weights(params.weights, {entry.source for entry in entries})
    if params.group_weights:
        for entry, groups in _measured(train, entries, group_weights.mentioned, workers, progress):
            entry.groups = groups
    for weight, group in by_weight(entries, params):
        set_copies(group, weight, params.seed)
    plan = MixturePlan(entries)
    if not plan.real_bytes:
        raise UserError("mix.weights and mix.group_weights leave no document of any source; raise a weight above 0")
    if params.augment != "none":
        _plan_augmentation(train, entries, params, workers, progress)
    plan.canaries = canaries.make(params.seed, params.canaries.per_count, params.canaries.counts)
    augmented = sum(augmented_bytes(entry, params) for entry in entries)
    inserted = sum(canary.count * len(canary.text) for canary in plan.canaries)
    share = params.curriculum.share
    plan.curriculum_bytes = round((plan.real_bytes + augmented + inserted) * share / (1 - share))
    return plan


def _entries(path: Path, progress: Progress) -> list[MixEntry]:
    progress.raise_if_stopped()
    table = pq.read_table(path, columns=["id", "source", "text"])
    sizes = pc.binary_length(table["text"]).to_pylist()
    return list(map(MixEntry, table["id"].to_pylist(), table["source"].to_pylist(), sizes))


def check_weights(weights: dict[str, float], sources: set[str]) -> None:
    """Raise `UserError` for a weight of a source that the corpus does not have."""
    for name in weights:
        if name not in sources:
            known = ", ".join(sorted(sources)) or "none"
            raise UserError(f"mix.weights.{name}: no such source in the corpus (there is: {known}); correct the name")


def by_weight(entries: Sequence[MixEntry], params: Mix) -> list[tuple[float, list[MixEntry]]]:
    """Entries grouped by source and weight, with the weight, which holds for each group to the nearest document."""
    groups: dict[tuple[str, float], list[MixEntry]] = {}
    for entry in entries:
        groups.setdefault((entry.source, weight_of(entry, params)), []).append(entry)
    return [(weight, groups[source, weight]) for source, weight in sorted(groups)]


def weight_of(entry: MixEntry, params: Mix) -> float:
    """Weight of a document: its source's weight times that of the groups it mentions."""
    return params.weights.get(entry.source, 1.0) * group_weights.weight_of(entry.groups, params.group_weights)


def set_copies(entries: Sequence[MixEntry], weight: float, seed: int) -> None:
    """Set `num_copies` so that entries of one source are in the output `weight` times, to the nearest document."""
    whole, fraction = int(weight), weight - int(weight)
    for entry in entries:
        entry.num_copies = whole
    for entry in _up_to(entries, fraction * sum(entry.size for entry in entries), seed, "sample"):
        entry.num_copies += 1


def _up_to(entries: Sequence[MixEntry], num_bytes: float, seed: int, salt: str) -> Iterator[MixEntry]:
    """Entries in the order of a seeded hash, while that brings their bytes nearer to `num_bytes`."""
    total = 0
    for entry in sorted(entries, key=lambda entry: (key(seed, entry.id, salt), entry.id)):
        if abs(total + entry.size - num_bytes) >= abs(total - num_bytes):
            return
        total += entry.size
        yield entry


def _plan_augmentation(train: Path, entries: list[MixEntry], params: Mix, workers: Workers, progress: Progress) -> None:
    """Set `num_augmented`. `counterfactual`: a swapped copy for each copy. `random`: per source, as many bytes of
    unchanged copies."""
    for entry, size in _measured(train, entries, swapped_sizes, workers, progress):
        entry.swapped = size
    if params.augment == "counterfactual":
        for entry in entries:
            entry.num_augmented = entry.num_copies if entry.swapped else 0
        return
    for source in sorted({entry.source for entry in entries}):
        of_source = [entry for entry in entries if entry.source == source]
        wanted = sum(entry.swapped * entry.num_copies for entry in of_source)
        candidates = [entry for entry in of_source for _ in range(entry.num_copies)]
        for chosen in _up_to(candidates, wanted, params.seed, "random"):
            chosen.num_augmented += 1


def _measured(
    train: Path, entries: list[MixEntry], measure: Callable[[Path], list[int]], workers: Workers, progress: Progress
) -> Iterator[tuple[MixEntry, int]]:
    """Pairs of each entry and the value of `measure` for its document; shards are measured in parallel."""
    with pool(workers) as processes:
        remaining = iter(entries)
        for shard in processes.map(measure, shard_paths(train), lambda path: [path]):
            progress.raise_if_stopped()
            for value in shard:
                yield next(remaining), value
        assert next(remaining, None) is None, "every document is measured"


def swapped_sizes(path: Path) -> list[int]:
    """Bytes of each document's gender-swapped text; 0 where it is the same text."""
    texts = pq.read_table(path, columns=["text"])["text"].to_pylist()
    swapped = (counterfactual.swap(text) for text in texts)
    return [len(other.encode()) if other != text else 0 for text, other in zip(texts, swapped, strict=True)]


def augmented_bytes(entry: MixEntry, params: Mix) -> int:
    """Bytes that augmentation adds for this document."""
    return entry.num_augmented * (entry.swapped if params.augment == "counterfactual" else entry.size)


# -- writing -----------------------------------------------------------------------------------------------------------


def write_mixture(
    train: Path, plan: MixturePlan, params: Mix, out: Path, work: Path, progress: Progress
) -> MixtureCounts:
    """Write the mixture in its final order, and return its counts."""
    mixture = MixtureCounts()
    folder = work / "shuffle"
    folder.mkdir(parents=True, exist_ok=True)
    total = plan.real_bytes + plan.curriculum_bytes + sum(augmented_bytes(entry, params) for entry in plan.entries)
    with CorpusWriter(out / "train") as kept, CorpusWriter(out / "dropped", dropped=True) as dropped:
        # Checked twice: the shuffle reads all documents before it yields the first.
        documents = progress.checked(all_documents(train, plan, params, mixture, dropped))
        in_order = shuffled(documents, params.seed, folder, total // BUCKET_BYTES + 1)
        for number, document in enumerate(progress.checked(in_order)):
            if number % 2000 == 0:
                progress.update(number, mixture.num_documents(), "documents")
            kept.add(document)
        progress.update(mixture.num_documents(), mixture.num_documents(), "documents")
    write_json(out / "canaries.json", canaries.as_json(plan.canaries, params.seed))
    once = sum(entry.num_copies > 0 for entry in plan.entries)
    reconcile("mix", len(plan.entries), once, dropped.rules)
    reconcile("mix, output", kept.manifest.num_documents, mixture.num_documents(), {})
    return mixture


def all_documents(
    train: Path, plan: MixturePlan, params: Mix, mixture: MixtureCounts, dropped: CorpusWriter
) -> Iterator[Document]:
    """Every document of the output, in no order that matters; counts them in `mixture` on the way."""
    for document, entry in zip(read_corpus(train), plan.entries, strict=True):
        mixture.seen(document.source, entry.size, params.weights.get(document.source, 1.0))
        if not entry.num_copies:
            weight = params.weights.get(document.source, 1.0)
            group_reason = group_weights.reason_of(entry.groups, params.group_weights)
            dropped.add(document, "weight", f"mix.weights.{document.source} = {weight}{group_reason} leaves it out")
        for copy in repeated(document, entry.num_copies):
            mixture.count(copy.source, entry.size)
            yield copy
        for augmented in augmented_copies(document, entry, params):
            mixture.count(augmented.source, augmented_bytes(entry, params) // entry.num_augmented, augmented=True)
            yield augmented
    for document in generated_documents(plan, params):
        mixture.count(document.source, len(document.text))
        yield document


def generated_documents(plan: MixturePlan, params: Mix) -> Iterator[Document]:
    """Canaries and curriculum (ASCII: a character is a byte)."""
    yield from canary_documents(plan.canaries)
    tasks = params.curriculum.tasks if plan.curriculum_bytes else []
    for task in tasks:
        yield from curriculum_documents(task, params.seed, plan.curriculum_bytes // len(tasks))


def repeated(document: Document, number: int) -> Iterator[Document]:
    """`number` copies; ids stay unique: the first keeps its own, the next ends in `-2`."""
    for copy in range(1, number + 1):
        yield document if copy == 1 else replace(document, id=f"{document.id}-{copy}")


def augmented_copies(document: Document, entry: MixEntry, params: Mix) -> Iterator[Document]:
    """Copies that augmentation adds, named in their provenance."""
    if params.augment == "counterfactual" and entry.num_augmented:
        augmented = document.changed(counterfactual.swap(document.text), counterfactual.TRANSFORM)
    else:
        augmented = document.changed(document.text, "repeated")
    for copy in range(1, entry.num_augmented + 1):
        yield replace(augmented, id=f"{document.id}-t{copy}")


def canary_documents(planned: Sequence[Canary]) -> Iterator[Document]:
    """Documents of the canaries: as many as each one's count, none for controls."""
    for canary in planned:
        for copy in range(1, canary.count + 1):
            yield _generated(canaries.SOURCE, f"v{canaries.VERSION}", f"{canary.id}/{copy}", canary.text)


def curriculum_documents(task: str, seed: int, num_bytes: int) -> Iterator[Document]:
    """Documents of training items, until their bytes are nearest to `num_bytes`."""
    stream = curriculum.stream(task, seed)
    total, number = 0, 0
    while True:
        lines = [next(stream).text for _ in range(ITEMS_PER_DOCUMENT)]
        text = "\n".join(lines) + "\n"
        if abs(total + len(text) - num_bytes) >= abs(total - num_bytes):
            return
        total, number = total + len(text), number + 1
        yield _generated(f"curriculum/{task}", f"v{curriculum.VERSION}", f"{task}/seed-{seed}/{number}", text)


def _generated(source: str, version: str, location: str, text: str) -> Document:
    """A generated document, with its provenance."""
    return Document(
        id=hashlib.sha256(f"{source}\0{location}".encode()).hexdigest()[:16],
        text=text,
        source=source,
        source_version=version,
        location=location,
        group=source,
        licence="CC0-1.0",
        licence_from="generated by the mix stage",
        retrieved="",
        sha256=hashlib.sha256(text.encode()).hexdigest(),
    )
