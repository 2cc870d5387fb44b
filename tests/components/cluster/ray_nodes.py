"""A Ray cluster of a head and three nodes, as a program: it writes the head's address and its own pid.

Each SIGUSR1 loses a node at once, as when a machine goes. The head does no work, so it is never the one.
"""

import json
import os
import signal
import sys
from pathlib import Path

from ray.cluster_utils import Cluster

from components.core.files import write_text

STORE_BYTES = 80_000_000
"""Of a node's object store; the smallest that Ray allows."""
TRIES = 5
"""Ray gives a node 30 s to start, which a busy machine may not have; one that comes late is one more."""


def main(ready: Path) -> None:
    nodes = Cluster()
    start(nodes, include_dashboard=False, num_cpus=0)
    workers = [start(nodes, num_cpus=1) for _ in range(3)]
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGTERM])
    write_text(ready, json.dumps({"address": nodes.address, "pid": os.getpid()}))
    while signal.sigwait([signal.SIGUSR1, signal.SIGTERM]) == signal.SIGUSR1:
        nodes.remove_node(workers.pop(), allow_graceful=False)
    nodes.shutdown()


def start(nodes: Cluster, **settings: object) -> object:
    for left in reversed(range(TRIES)):
        try:
            return nodes.add_node(object_store_memory=STORE_BYTES, **settings)
        except Exception as error:  # Ray raises just that
            print(error, flush=True)
            if not left:
                raise
    raise AssertionError


if __name__ == "__main__":
    main(Path(sys.argv[1]))
