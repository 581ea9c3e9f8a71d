"""A process with a payload log, to be killed: records as many requests as its input says, then waits.

python -m tests.support.recording_server SETTINGS_AS_JSON PREFIX_OF_IDS
"""

import sys

from modelyard.serving.payloads import PayloadLog, PayloadSettings
from tests.support.payload_batches import a_batch
from tests.support.waiting import eventually


def main() -> None:
    log, count = PayloadLog(PayloadSettings.from_json(sys.argv[1])), 0
    for line in sys.stdin:
        for _ in range(int(line)):
            log.add(a_batch([f"{sys.argv[2]}-{count:06d}"]))
            count += 1
        eventually(lambda count=count: log.stats().recorded_requests == count, what="all is in the spool")
        print("spooled", flush=True)


if __name__ == "__main__":
    main()
