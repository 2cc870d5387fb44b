"""Stage `ingest`: read the sources, keep provenance, quarantine bad records, cut the held-out set."""
