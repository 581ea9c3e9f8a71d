"""Model registries: which models and versions there are, and their files."""
