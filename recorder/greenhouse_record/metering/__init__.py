"""The meter: counters, attribution to spans, the ledger's writer, the constants of energy and carbon."""
