from dataclasses import replace
from pathlib import Path

import pytest

from modelyard.errors import ModelyardError
from modelyard.serving.payloads import PayloadSettings, StoreAddress


@pytest.mark.parametrize("sample", [0, -0.1, 1.01])
def test_a_share_that_is_none_is_refused(settings, sample):
    with pytest.raises(ModelyardError, match="above 0, up to 1"):
        replace(settings, sample=sample)


@pytest.mark.parametrize("destination", ["gs://bucket/x", "s3://", "relative/folder", "", "http://host/x"])
def test_a_destination_that_is_no_store_is_refused(destination):
    with pytest.raises(ModelyardError, match="valid are s3://BUCKET"):
        StoreAddress(destination)


def test_one_key_file_without_the_other_is_refused():
    with pytest.raises(ModelyardError, match="name both or none"):
        StoreAddress("s3://bucket", access_key_file=Path("/key"))


def test_settings_survive_the_way_to_another_process(settings):
    changed = replace(settings, redact=frozenset({"b", "a"}), sample=0.25)
    assert PayloadSettings.from_json(changed.to_json()) == changed


def test_an_unknown_setting_is_named_with_the_valid_ones():
    with pytest.raises(ModelyardError, match=r"no setting 'smaple'\n.*sample"):
        PayloadSettings.from_json('{"store": {"destination": "/x"}, "spool": "/y", "smaple": 1}')


def test_a_single_name_to_redact_is_not_taken_for_a_list_of_letters(settings):
    with pytest.raises(ModelyardError, match="list of column names"):
        replace(settings, redact="abc")
