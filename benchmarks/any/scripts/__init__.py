"""Trainings that the benchmark records: each is copied into a repository of its own, and reads its config there."""
