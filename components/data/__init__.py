"""Data stages: from raw text to token shards, one file per verb."""
