import subprocess
import sys
import time

import pytest

BLOCKED = """
import asyncio, ctypes, time
from modelyard.serving.server.process import end_if_hung

async def main():
    asyncio.create_task(end_if_hung(1.0))
    await asyncio.sleep(1.5)  # longer than it may hang: but it doesn't
    print("alive", flush=True)
    {block}
    print("never said")

asyncio.run(main())
"""
HOLDING_THE_LOCK = "ctypes.PyDLL(None).sleep(60)"  # PyDLL keeps Python's lock: no other thread gets a turn
KEEPING_THE_LOOP = "time.sleep(60)"


@pytest.mark.parametrize("block", [HOLDING_THE_LOCK, KEEPING_THE_LOOP])
def test_a_process_whose_loop_hangs_ends_and_says_where(block):
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED.format(block=block)], capture_output=True, text=True, timeout=50
    )
    assert (done.stdout, done.returncode) == ("alive\n", 1), done.stderr
    assert "in main" in done.stderr, "the place is not named"
    assert time.monotonic() - began < 40


def test_a_process_that_works_is_left_alone():
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED.format(block="await asyncio.sleep(1.5)")], capture_output=True, text=True
    )
    assert (done.stdout, done.returncode) == ("alive\nnever said\n", 0), done.stderr
