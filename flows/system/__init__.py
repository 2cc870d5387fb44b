"""Layer 1: paths, environment, processes, git, DVC, folders of runs, the temporary Prefect server."""
