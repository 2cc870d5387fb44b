"""A stage's process: what `cmd` in dvc.yaml starts, `exec python -m flows.stage STAGE [BRANCH]`."""

from flows.execution import stage_process

if __name__ == "__main__":
    stage_process.main()
