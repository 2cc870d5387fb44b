"""Data stages and training processes on a Ray cluster."""
