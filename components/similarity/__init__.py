"""Similarity of texts: shingles, MinHash sketches, n-gram overlap, decontamination."""
