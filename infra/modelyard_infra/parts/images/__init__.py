"""Which container images the parts of a cluster run."""
