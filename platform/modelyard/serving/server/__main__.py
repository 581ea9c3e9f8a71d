"""`python -m modelyard.serving.server`: a model server as one process or several."""

import sys

from modelyard.serving.server.process import ended
from modelyard.serving.server.workers import run

if __name__ == "__main__":
    ended(run(sys.argv[1:]))
