"""The data stages beside the tools people use: `make bench NAME=data`.

    python -m benchmarks.data                               all parts but larger-than-memory: about 20 minutes
    python -m benchmarks.data --only dedup,filters          these parts; other figures stay, as does their stamp
    python -m benchmarks.data --only larger-than-memory     5 GB, half an hour
    python -m benchmarks.data --prepare                     the corpora and what is computed once, without timing

Peers come from the `bench` extra. Everything is written to benchmarks/results/data.json; the page
docs/results.md is made of that.
"""

import argparse
from collections.abc import Callable

from benchmarks import (
    data_bpe,
    data_dedup,
    data_encode,
    data_false_removals,
    data_filters,
    data_memory,
    data_people,
    data_records,
)
from benchmarks.data_corpus import Corpus, build, subset
from benchmarks.results import write

Results = tuple[dict, list[dict]]
PARTS: dict[str, Callable[[Corpus], Results]] = {
    "dedup": data_dedup.measure,
    "dedup-quality": data_dedup.quality,
    "growth": data_dedup.growth,
    "filters": data_filters.measure,
    "agreement": data_filters.agreement,
    "false-removals": lambda corpus: data_false_removals.measure(),
    "bpe": data_bpe.measure,
    "encode": data_encode.measure,
    "encode-identity": data_encode.identity,
    "records": data_records.measure,
    "personal-data": lambda corpus: data_people.personal_data(),
    "bias": lambda corpus: data_people.bias(),
    "larger-than-memory": data_memory.measure,
}


def prepare(corpus: Corpus) -> None:
    """Compute what takes long and is not timed."""
    data_filters.agreement(corpus)
    for size in (data_filters.TIMED_BYTES, data_dedup.DATASKETCH_BYTES):
        subset(corpus, size)
    data_dedup.grown(corpus)
    data_encode.tokenizer(corpus)


def main() -> None:
    """Measure the parts that --only names, and merge them into the results."""
    parser = argparse.ArgumentParser("python -m benchmarks.data", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--only", default="", help=f"parts, separated by commas: {', '.join(PARTS)}")
    parser.add_argument("--prepare", action="store_true", help="build the corpora, time nothing")
    arguments = parser.parse_args()
    parts = arguments.only.split(",") if arguments.only else [name for name in PARTS if name != "larger-than-memory"]
    for name in parts:
        if name not in PARTS:
            parser.error(f"no part is named {name!r}; there are {', '.join(PARTS)}")
    corpus = build()
    if arguments.prepare:
        prepare(corpus)
        return
    for name in parts:
        print(f"-- {name}", flush=True)
        write("data", *PARTS[name](corpus))


if __name__ == "__main__":
    from benchmarks.data import main as named_main  # workers cannot import `__main__`

    named_main()
