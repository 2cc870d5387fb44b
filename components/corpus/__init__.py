"""A corpus on disk: Parquet shards with a manifest, and how they are shuffled."""
