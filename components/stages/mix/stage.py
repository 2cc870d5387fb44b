"""Choose how much of each source a model is trained on, and add what real text does not teach: curriculum and canaries.

Weights are exact: 1 takes a source once, 2 twice, and 0.5 the documents that come first in the order of a seeded hash,
until half of the source's bytes are reached, so the share is off by less than a document and a larger weight only adds
documents. Documents that mention a group of people may weigh more, as exactly (group_weights.py). Generated text has
its own source names (`curriculum/<task>`, `canary`) and is counted apart everywhere. A shuffle across the whole corpus
(shuffle.py) follows, so that a prefix of the tokens is a fair sample of the mixture.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
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
from components.stages.mix.report import Added, write_report
from components.synthetic import canaries, counterfactual, curriculum

BUCKET_BYTES = 32_000_000
"""Text per bucket of the shuffle: what bounds its memory."""
CHECK_EVERY = 200
"""Documents between two looks at whether to go on."""
ITEMS_PER_DOCUMENT = 4
"""Curriculum items in one document, a line each: fewer rows for the same text."""


@dataclass
class Entry:
    """One document of the input, without its text: what the plan is made from.

    Attributes:
        taken: how often it is in the output. size: bytes of its text.
        groups: bit set of the groups it mentions; 0 where no group has a weight.
        twins: how many more copies augmentation adds.
        swapped: bytes of the gender-swapped text; 0 where the swap changes nothing (or is not asked for).
    """

    id: str
    source: str
    size: int
    taken: int = 0
    twins: int = 0
    swapped: int = 0
    groups: int = 0


@dataclass
class Plan:
    """The mixture, decided before any text is written."""

    entries: list[Entry]
    secrets: list[canaries.Canary] = field(default_factory=list)
    curriculum_bytes: int = 0

    @property
    def real_bytes(self) -> int:
        """Bytes of real text in the output, augmentation left out."""
        return sum(entry.size * entry.taken for entry in self.entries)


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
    """Run the stage: `train` (a corpus) to `out/train`, `out/dropped` (left out by weight) and `out/canaries.json`.

    Raises:
        UserError: a weight names no source, or the weights leave nothing.
        Stopped: `progress` asked to stop.
    """
    progress = progress or Progress()
    with progress.phase("plan"):
        plan = make_plan(train, params, workers, progress)
    with progress.phase("write"):
        added = write_mixture(train, plan, params, out, work, progress)
    report = write_report(added, plan.entries, params, reports)
    for line in report.facts["warnings"]:
        progress.log(line)
    return report


# -- planning ----------------------------------------------------------------------------------------------------------


def make_plan(train: Path, params: Mix, workers: Workers = 1, progress: Progress | None = None) -> Plan:
    """How often each document is taken, which twins are added, and how much is generated.

    Memory grows with the documents, not with their text: 300 bytes for each (measured), so 0.6 GB for two million.
    """
    progress = progress or Progress()
    entries = [entry for path in shard_paths(train) for entry in _entries(path, progress)]
    check_weights(params.weights, {entry.source for entry in entries})
    if params.group_weights:
        for entry, groups in _of_each(train, entries, group_weights.mentioned, workers, progress):
            entry.groups = groups
    for weight, part in parts(entries, params):
        take(part, weight, params.seed)
    plan = Plan(entries)
    if not plan.real_bytes:
        raise UserError("mix.weights and mix.group_weights leave no document of any source; raise a weight above 0")
    if params.augment != "none":
        _plan_twins(train, entries, params, workers, progress)
    plan.secrets = canaries.make(params.seed, params.canaries.per_count, params.canaries.counts)
    twins = sum(twin_bytes(entry, params) for entry in entries)
    inserted = sum(secret.count * len(secret.text) for secret in plan.secrets)
    share = params.curriculum.share
    plan.curriculum_bytes = round((plan.real_bytes + twins + inserted) * share / (1 - share))
    return plan


def _entries(path: Path, progress: Progress) -> list[Entry]:
    progress.raise_if_stopped()
    table = pq.read_table(path, columns=["id", "source", "text"])
    sizes = pc.binary_length(table["text"]).to_pylist()
    return list(map(Entry, table["id"].to_pylist(), table["source"].to_pylist(), sizes))


def check_weights(weights: dict[str, float], sources: set[str]) -> None:
    """Refuse a weight for a source that is not there: it would silently do nothing."""
    for name in weights:
        if name not in sources:
            known = ", ".join(sorted(sources)) or "none"
            raise UserError(f"mix.weights.{name}: no such source in the corpus (there is: {known}); correct the name")


def parts(entries: Sequence[Entry], params: Mix) -> list[tuple[float, list[Entry]]]:
    """The entries of each source that weigh the same, with their weight: what weights hold for exactly."""
    found: dict[tuple[str, float], list[Entry]] = {}
    for entry in entries:
        found.setdefault((entry.source, weight_of(entry, params)), []).append(entry)
    return [(weight, found[source, weight]) for source, weight in sorted(found)]


def weight_of(entry: Entry, params: Mix) -> float:
    """How many times a document is to be taken: its source's weight times that of the groups it mentions."""
    return params.weights.get(entry.source, 1.0) * group_weights.weight_of(entry.groups, params.group_weights)


def take(entries: Sequence[Entry], weight: float, seed: int) -> None:
    """Set `taken` so that the entries (of one source) are in the output `weight` times, to the nearest document."""
    whole, part = int(weight), weight - int(weight)
    for entry in entries:
        entry.taken = whole
    for entry in _up_to(entries, part * sum(entry.size for entry in entries), seed, "sample"):
        entry.taken += 1


def _up_to(entries: Sequence[Entry], num_bytes: float, seed: int, salt: str) -> Iterator[Entry]:
    """Entries in the order of a seeded hash, while that brings their bytes nearer to `num_bytes`."""
    total = 0
    for entry in sorted(entries, key=lambda entry: (key(seed, entry.id, salt), entry.id)):
        if abs(total + entry.size - num_bytes) >= abs(total - num_bytes):
            return
        total += entry.size
        yield entry


def _plan_twins(train: Path, entries: list[Entry], params: Mix, workers: Workers, progress: Progress) -> None:
    """`counterfactual`: a swapped twin for each copy taken. `random`: per source, as many bytes of unchanged copies."""
    for entry, size in _of_each(train, entries, partial(swapped_sizes, names=params.swap_names), workers, progress):
        entry.swapped = size
    if params.augment == "counterfactual":
        for entry in entries:
            entry.twins = entry.taken if entry.swapped else 0
        return
    for source in sorted({entry.source for entry in entries}):
        ours = [entry for entry in entries if entry.source == source]
        wanted = sum(entry.swapped * entry.taken for entry in ours)
        candidates = [entry for entry in ours for _ in range(entry.taken)]
        for chosen in _up_to(candidates, wanted, params.seed, "random"):
            chosen.twins += 1


def _of_each(
    train: Path, entries: list[Entry], measure: Callable[[Path], list[int]], workers: Workers, progress: Progress
) -> Iterator[tuple[Entry, int]]:
    """Each entry with what `measure` finds in its document; shards are measured side by side."""
    with pool(workers) as processes:
        left = iter(entries)
        for shard in processes.map(measure, shard_paths(train), lambda path: [path]):
            progress.raise_if_stopped()
            for value in shard:
                yield next(left), value
        assert next(left, None) is None, "every document is measured"


def swapped_sizes(path: Path, names: bool) -> list[int]:
    """Bytes of each document's gender-swapped text; 0 where it is the same text."""
    texts = pq.read_table(path, columns=["text"])["text"].to_pylist()
    swapped = (counterfactual.swap(text, names) for text in texts)
    return [len(other.encode()) if other != text else 0 for text, other in zip(texts, swapped, strict=True)]


def twin_bytes(entry: Entry, params: Mix) -> int:
    """Bytes that augmentation adds for this document."""
    return entry.twins * (entry.swapped if params.augment == "counterfactual" else entry.size)


# -- writing -----------------------------------------------------------------------------------------------------------


def write_mixture(train: Path, plan: Plan, params: Mix, out: Path, work: Path, progress: Progress) -> Added:
    """Write the mixture in its final order, and the books of what went into it."""
    added = Added()
    folder = work / "shuffle"
    folder.mkdir(parents=True, exist_ok=True)
    total = plan.real_bytes + plan.curriculum_bytes + sum(twin_bytes(entry, params) for entry in plan.entries)
    with CorpusWriter(out / "train") as kept, CorpusWriter(out / "dropped", dropped=True) as dropped:
        documents = all_documents(train, plan, params, added, dropped)
        for number, document in enumerate(
            shuffled(_checked(documents, progress), params.seed, folder, total // BUCKET_BYTES + 1)
        ):
            kept.add(document)
            if number % CHECK_EVERY == 0:
                progress.raise_if_stopped()
            if number % 2000 == 0:
                progress.update(number, None, "documents")
    write_json(out / "canaries.json", canaries.as_json(plan.secrets, params.seed))
    once = sum(entry.taken > 0 for entry in plan.entries)
    reconcile("mix", len(plan.entries), once, dropped.rules)
    reconcile("mix, output", kept.manifest.num_documents, added.num_documents(), {})
    return added


def _checked(documents: Iterator[Document], progress: Progress) -> Iterator[Document]:
    """The documents, with a look at whether to go on now and then: the shuffle takes all before it gives the first."""
    for number, document in enumerate(documents):
        if number % CHECK_EVERY == 0:
            progress.raise_if_stopped()
        yield document


def all_documents(train: Path, plan: Plan, params: Mix, added: Added, dropped: CorpusWriter) -> Iterator[Document]:
    """Every document of the output, in no order that matters; counts them in `added` on the way."""
    for document, entry in zip(read_corpus(train), plan.entries, strict=True):
        added.seen(document.source, entry.size, params.weights.get(document.source, 1.0))
        if not entry.taken:
            weight = params.weights.get(document.source, 1.0)
            besides = group_weights.why(entry.groups, params.group_weights)
            dropped.add(document, "weight", f"mix.weights.{document.source} = {weight}{besides} leaves it out")
        for copy in copies(document, entry.taken):
            added.count(copy.source, entry.size)
            yield copy
        for twin in twins(document, entry, params):
            added.count(twin.source, twin_bytes(entry, params) // entry.twins, twin=True)
            yield twin
    for document in generated_documents(plan, params):
        added.count(document.source, len(document.text))
        yield document


def generated_documents(plan: Plan, params: Mix) -> Iterator[Document]:
    """Canaries and curriculum (ASCII: a character is a byte)."""
    yield from secret_documents(plan.secrets)
    tasks = params.curriculum.tasks if plan.curriculum_bytes else []
    for task in tasks:
        yield from curriculum_documents(task, params.seed, plan.curriculum_bytes // len(tasks))


def copies(document: Document, number: int) -> Iterator[Document]:
    """`number` copies; ids stay unique: the first keeps its own, the next ends in `-2`."""
    for copy in range(1, number + 1):
        yield document if copy == 1 else replace(document, id=f"{document.id}-{copy}")


def twins(document: Document, entry: Entry, params: Mix) -> Iterator[Document]:
    """The copies that augmentation adds, named in their provenance."""
    if params.augment == "counterfactual" and entry.twins:
        twin = document.changed(counterfactual.swap(document.text, params.swap_names), counterfactual.TRANSFORM)
    else:
        twin = document.changed(document.text, "repeated")
    for copy in range(1, entry.twins + 1):
        yield replace(twin, id=f"{document.id}-t{copy}")


def secret_documents(secrets: Sequence[canaries.Canary]) -> Iterator[Document]:
    """Each canary as often as its count says; controls never."""
    for secret in secrets:
        for copy in range(1, secret.count + 1):
            yield _generated(canaries.SOURCE, f"v{canaries.VERSION}", f"{secret.id}/{copy}", secret.text)


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
    """A document we made up, with the provenance that says so."""
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
