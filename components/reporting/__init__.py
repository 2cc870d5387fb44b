"""Shared parts of reports: figures and CSV tables."""
