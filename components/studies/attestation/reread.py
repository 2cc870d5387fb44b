"""Documents of a corpus, held against their sources: ingest reads these again, document by document."""

from collections import Counter
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from components.core.files import md5_of
from components.corpus.corpus import shard_paths
from components.params import Ingest, Packages
from components.stages.ingest import pinned_packages
from components.stages.ingest.stage import ingest

PROVENANCE = ("source", "source_version", "location", "licence", "licence_from", "sha256")


@dataclass
class SourceCheck:
    """What the sources say of the documents of a corpus.

    Attributes:
        heldout: DVC's hash of the held-out set that ingest cuts of them.
        sources, licences: name -> documents, counted in the shards of the corpus.
        by_owner: documents whose licence is stated in params.yaml alone.
        missing: places of documents that ingest does not take from the sources here.
        unlike: a sentence for each document with another provenance or text than its source gives
            it, and for each package that states another licence than its pin.
    """

    heldout: str
    sources: Counter[str] = field(default_factory=Counter)
    licences: Counter[str] = field(default_factory=Counter)
    by_owner: int = 0
    missing: list[str] = field(default_factory=list)
    unlike: list[str] = field(default_factory=list)


def against_sources(corpus: Path, params: Ingest, root: Path, work: Path, workers: int = 1) -> SourceCheck:
    """Hold each document of a corpus, as ingest or a later data stage left it, against its source.

    Args:
        params: those that ingest ran with.
        root: the checkout whose sources are read.
        work: a folder for what ingest makes of them.

    Raises:
        UserError: a source is not here, or not as it is pinned; or the corpus is damaged.
    """
    out = work / "ingest"
    ingest(root=root, params=params, out=out, reports=work / "reports", work=work / "own", workers=workers)
    found, there = SourceCheck(md5_of(out / "heldout"), unlike=_pins_unlike(params)), _provenance(out / "train")
    for id, row in _provenance(corpus).items():
        source, version, place, licence, stated_in, _ = row
        found.sources[source] += 1
        found.licences[licence] += 1
        found.by_owner += stated_in == "params"
        if id not in there:
            found.missing.append(f"{place} of {source} ({version})")
        elif there[id] != row:
            name, here, signed = next(one for one in zip(PROVENANCE, there[id], row, strict=True) if one[1] != one[2])
            found.unlike.append(f"{place}: {name} is {here} by its source here, and {signed} in the corpus")
    return found


def _provenance(corpus: Path) -> dict[str, tuple[str, ...]]:
    """Id -> `PROVENANCE` of the documents of a corpus whose shards are as its manifest has them."""
    import polars as pl

    rows = (row for path in shard_paths(corpus) for row in pl.read_parquet(path, columns=["id", *PROVENANCE]).rows())
    return {id: tuple(row) for id, *row in rows}


def _pins_unlike(params: Ingest) -> list[str]:
    """Packages of the sources that state another licence than corpora/pins.json; those not installed are left out."""
    pinned = pinned_packages.load()["packages"]
    names = {name for one in params.sources if isinstance(one, Packages) for name in one.packages or pinned}
    installed = [name for name in sorted(names & {*pinned}) if any(metadata.distributions(name=name))]
    stated = {name: pinned_packages.licence_of(metadata.distribution(name))[0] for name in installed}
    return [f"package {name}: it states {licence}, and corpora/pins.json {pinned[name]['licence']}"
            for name, licence in stated.items() if licence != pinned[name]["licence"]]  # fmt: skip
