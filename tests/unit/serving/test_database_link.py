from modelyard.serving import database_link
from modelyard.serving.database_link import DatabaseLink
from modelyard.serving.settings import DatabaseSettings
from tests.support.waiting import eventually


def test_whatever_goes_wrong_the_database_is_tried_again(monkeypatch, caplog, tmp_path):
    tried = []

    def fail(_settings):
        tried.append(1)
        raise ValueError("not as expected")

    monkeypatch.setattr(database_link, "RETRY_SECONDS", 0.005)
    monkeypatch.setattr(database_link, "open_deployments", fail)
    link = DatabaseLink(DatabaseSettings(port=5432, password_file=tmp_path / "password"), lambda: None)
    link.start()
    eventually(lambda: len(tried) > 3)
    link.stop(timeout=2)
    assert link.reachable is False
    assert len([record for record in caplog.records if record.exc_info]) == 1
