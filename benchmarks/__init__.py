"""Benchmarks beside other tools or against goals of our own; their figures are in benchmarks/results/.

What several of them need: kill_and_resume.py (a command killed and started again), processes.py (output, memory and
CPU seconds of processes), texts.py (documents to read, and how to edit them), results.py (figures and goals).
"""

from pathlib import Path

import components  # noqa: F401 - which finds the recorder's package

ROOT = Path(__file__).resolve().parents[1]
