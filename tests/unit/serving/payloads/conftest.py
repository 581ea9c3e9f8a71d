from dataclasses import replace

import pytest

from modelyard.serving.payloads import PayloadLog, PayloadSettings, StoreAddress


@pytest.fixture
def settings(tmp_path):
    """A payload log that stores into a folder."""
    return PayloadSettings(StoreAddress(str(tmp_path / "store")), tmp_path / "spool")


@pytest.fixture
def a_log(settings):
    """Makes payload logs with changed settings, and closes them at the end."""
    made = []

    def make(**changed):
        made.append(PayloadLog(replace(settings, **changed)))
        return made[-1]

    yield make
    for log in made:
        log.close(5)
