"""All that happens to a run, from its configuration to its record."""
