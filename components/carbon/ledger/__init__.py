"""The ledger: reading spans and their energy."""
