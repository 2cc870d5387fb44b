"""Layer 5: what stands before the servers that are started here."""
