"""Instruction pairs drawn from a corpus, one module per task."""
