"""How Modelyard's container images are built: see docs/images.md."""
