"""From energy to carbon and cost."""
