"""A real S3 server (versitygw) that a test may stop, kill and start again."""

import http.client
import os
import shutil
import ssl
import subprocess
from pathlib import Path

from modelyard.processes.ports import any_free_port
from modelyard.serving.payloads import StoreAddress
from tests.support.waiting import eventually

BUCKET, ACCESS_KEY, SECRET_KEY = "artifacts", "test-access", "test-secret-0123456789"


class S3Server:
    """On loopback, with one bucket.

    Args:
        folder: Where objects and keys lie.
        versions: Whether buckets can keep older versions.
        certificate: For TLS; its key lies beside it.
    """

    def __init__(self, folder: Path, *, versions: bool = False, certificate: Path | None = None) -> None:
        self.folder = folder
        self._tls = ["--cert", str(certificate), "--key", str(certificate.with_suffix(".key"))] if certificate else []
        self._versions = ["--versioning-dir", str(folder / "versions")] if versions else []
        self.port = any_free_port()
        (folder / "objects" / BUCKET).mkdir(parents=True)
        if versions:
            (folder / "versions").mkdir()
        (folder / "access_key").write_text(f"{ACCESS_KEY}\n")
        (folder / "secret_key").write_text(f"{SECRET_KEY}\n")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> StoreAddress:
        return StoreAddress(
            f"s3://{BUCKET}/modelyard",
            f"https://localhost:{self.port}" if self._tls else f"http://127.0.0.1:{self.port}",
            "us-east-1",
            self.folder / "access_key",
            self.folder / "secret_key",
        )

    def start(self) -> "S3Server":
        program = shutil.which("versitygw")
        assert program, "versitygw is missing: `make tools`"
        self._process = subprocess.Popen(
            [
                *(program, "--port", f"127.0.0.1:{self.port}", "--health", "/health", "--quiet", *self._tls),
                *("posix", "--dir-perms", "0700", *self._versions, str(self.folder / "objects")),
            ],
            env=os.environ | {"ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        eventually(self._answers, seconds=15, what="the S3 server answers")
        return self

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()

    def _answers(self) -> bool:
        unchecked = ssl._create_unverified_context() if self._tls else None
        connection = (
            http.client.HTTPSConnection("127.0.0.1", self.port, timeout=1, context=unchecked)
            if unchecked
            else http.client.HTTPConnection("127.0.0.1", self.port, timeout=1)
        )
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()
