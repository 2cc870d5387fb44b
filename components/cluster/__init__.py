"""Data stages on a Ray cluster."""
