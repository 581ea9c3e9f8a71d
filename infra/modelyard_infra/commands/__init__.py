"""Sub-commands of `modelyard` that need the Pulumi program; they come in by entry point."""
