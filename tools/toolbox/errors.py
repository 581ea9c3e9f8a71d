"""What can go wrong while getting a tool, from "try the next source" to "stop at once"."""

from __future__ import annotations


class ToolError(Exception):
    """A failure for the person at the terminal: the message says what was wrong and what to do next."""


class Unavailable(Exception):
    """One source can't give this tool here; the next one is tried. The message is its line in the final error."""


class Alarm(ToolError):
    """A download can't be trusted, such as one with another checksum than published: no other source is tried."""


class Stopped(Exception):
    """Another tool's failure ended the run while this one was at work."""
