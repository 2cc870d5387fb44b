"""From energy to carbon, water and cost."""
