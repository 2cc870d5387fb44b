"""Plain Python on files and tensors: what the flows do. Nothing here imports Prefect, MLflow or DVC.

The recorder's package is found beside this one: an experiment's worktree runs its own, not the installed one.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "recorder"))
