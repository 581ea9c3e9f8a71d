"""What is watched, and what is worth waking somebody for: recording and alert rules for Prometheus."""

from pathlib import Path


def rule_files() -> list[Path]:
    """The rule files, in order of their names."""
    return sorted((Path(__file__).parent / "rules").glob("*.yaml"))
