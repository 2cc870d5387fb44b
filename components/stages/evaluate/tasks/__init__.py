"""Eval tasks, one module each."""
