"""Real operating-system processes, kept alive by one supervisor per platform.

The parts of a local platform, and the model-server replicas that its serving agent starts, are all
`ProcessSpec`s put into the platform's `Supervisor`.
"""

from modelyard.processes.daemon import StartFailed
from modelyard.processes.spec import CommandCheck, HttpCheck, ProcessSpec
from modelyard.processes.supervisor import ProcessStatus, Supervisor

__all__ = ["CommandCheck", "HttpCheck", "ProcessSpec", "ProcessStatus", "StartFailed", "Supervisor"]
