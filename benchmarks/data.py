"""The data stages beside the tools people use: `make bench NAME=data`.

    python -m benchmarks.data                         all parts: an hour, most of it `growth`
    python -m benchmarks.data --only dedup,filters    these parts; other figures stay, as does their stamp
    python -m benchmarks.data --small                 the same on 2 MB, as a trial; nothing is written

    dedup      near-duplicates beside datatrove     encode    token shards beside `tokenizers`
    filters    four rule sets beside datatrove      growth    ten times as much text through each stage

Peers come from the `bench` extra. Everything is written to benchmarks/results/data.json.
"""

import argparse
from collections.abc import Callable

from benchmarks import data_encode, data_growth, data_peers
from benchmarks.data_corpus import Corpus, build
from benchmarks.results import write

PARTS: dict[str, Callable[[Corpus], tuple[dict, list[dict]]]] = {
    "dedup": data_peers.dedup,
    "filters": data_peers.filters_10_mb,
    "encode": data_encode.measure,
    "growth": data_growth.measure,
}


def main() -> None:
    """Measure the parts that --only names, and merge them into the results."""
    parser = argparse.ArgumentParser("python -m benchmarks.data", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas")
    parser.add_argument("--small", action="store_true", help="a trial on 2 MB; nothing is written")
    arguments = parser.parse_args()
    for name in arguments.only.split(","):
        if name not in PARTS:
            parser.error(f"no part is named {name!r}; there are {', '.join(PARTS)}")
    corpus = build(2, 150) if arguments.small else build()
    for name in arguments.only.split(","):
        print(f"-- {name}", flush=True)
        found = PARTS[name](corpus)
        if arguments.small:
            print(*found, sep="\n", flush=True)
        else:
            write("data", *found)


if __name__ == "__main__":
    from benchmarks.data import main as named_main  # workers cannot import `__main__`

    named_main()
