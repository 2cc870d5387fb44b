"""Layer 1: paths, environment, processes, git, DVC, recovery, the temporary Prefect server."""
