"""A bucket at a real S3 server: what is made, what is looked for, and what is said."""

import itertools
from dataclasses import replace

import pytest
from botocore.stub import Stubber

from modelyard.errors import ModelyardError
from modelyard.provisioning import bucket
from modelyard.serving.payloads.store import Store
from tests.support.node.certificates import Authority
from tests.support.s3_server import ACCESS_KEY, SECRET_KEY, S3Server

NUMBERS = itertools.count(1)


@pytest.fixture
def s3(store):
    return bucket.client(store.address.endpoint_url, "us-east-1", ACCESS_KEY, SECRET_KEY)


@pytest.fixture
def name():
    """Of a bucket that no other test uses."""
    return f"bucket-{next(NUMBERS)}"


@pytest.fixture
def asked(store, name):
    """A request for a bucket that has to be there, with some of it changed."""

    def build(**changes):
        request = {
            "endpoint_url": store.address.endpoint_url,
            "region": "us-east-1",
            "bucket": name,
            "access_key_file": store.address.access_key_file,
            "secret_key_file": store.address.secret_key_file,
            "create": False,
            "check": True,
            "seconds": 1,
        }
        return bucket.Request.model_validate(request | changes)

    return build


def refusal(request):
    with pytest.raises(ModelyardError) as error:
        bucket.run(request)
    return str(error.value)


def test_a_bucket_that_may_be_made_is_made_versioned(s3, asked, name):
    bucket.run(asked(create=True))
    assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"


def test_a_bucket_that_was_made_is_found_again(s3, asked, name):
    bucket.run(asked(create=True))
    bucket.run(asked(create=True))
    bucket.run(asked())


def test_trying_it_out_leaves_nothing(s3, asked, name):
    bucket.run(asked(create=True))
    found = s3.list_object_versions(Bucket=name)
    assert (found.get("Versions", []), found.get("DeleteMarkers", [])) == ([], [])


def test_a_bucket_that_is_not_there_is_said(asked, name):
    assert "make the bucket, or say `create_bucket: true`" in refusal(asked())


def test_a_bucket_without_versions_is_said(s3, asked, name):
    s3.create_bucket(Bucket=name)
    said = refusal(asked())
    assert f"the bucket '{name}' keeps no older versions" in said
    assert f"aws s3api put-bucket-versioning --bucket {name}" in said


@pytest.mark.parametrize("wrong", ["access_key_file", "secret_key_file"])
@pytest.mark.parametrize("create", [True, False])
def test_a_wrong_key_is_said_in_words_and_not_shown(job, asked, tmp_path, wrong, create):
    (tmp_path / "wrong").write_text("AKIAWRONG0123456789")
    code, said = job("bucket", asked(create=create, **{wrong: tmp_path / "wrong"}).model_dump())
    assert code == 1
    assert "is the Secret right" in said
    assert "Traceback" not in said
    assert "AKIAWRONG" not in said


def test_a_store_that_is_not_there_is_said(asked):
    said = refusal(asked(endpoint_url="http://127.0.0.1:1", seconds=0))
    assert "does it let the cluster in" in said


def test_keys_that_may_not_write_are_told_so(s3, name):
    with Stubber(s3) as refusing:
        refusing.add_client_error("put_object", "AccessDenied", "Access Denied", 403)
        with pytest.raises(ModelyardError, match=f"may not write objects in the bucket '{name}'") as error:
            bucket.try_out(s3, name)
    assert "s3:PutObject" in error.value.fix


@pytest.fixture(scope="module")
def private(tmp_path_factory):
    """A store whose certificate is by nobody whom the world knows; and the authority's own certificate."""
    folder = tmp_path_factory.mktemp("private")
    authority = Authority(folder, "authority")
    certificate = authority.issue("server", common_name="localhost", hosts=["localhost"])
    server = S3Server(folder / "store", versions=True, certificate=certificate).start()
    yield server, authority.certificate
    server.kill()


def test_a_private_authority_is_taken_where_it_is_named(private, asked):
    store, authority = private
    there = {"endpoint_url": store.address.endpoint_url, "create": True, "seconds": 60}
    assert "is the certificate by `certificate_authority`" in refusal(asked(**there))
    bucket.run(asked(**there, certificate_authority_file=authority))


def test_recorded_requests_get_there_too(private):
    server, authority = private
    with pytest.raises(OSError, match="SSL"):
        Store(server.address).listed("")
    assert Store(replace(server.address, certificate_authority_file=authority)).listed("") == []
