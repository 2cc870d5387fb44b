"""The meter: counters, attribution to spans, the ledger's writer."""
