"""The artifact store, through Arrow's file systems."""

import os
import secrets
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pyarrow import fs

from modelyard.serving.payloads.settings import StoreAddress

_CONNECT_SECONDS, _REQUEST_SECONDS = 3, 30


class Store:
    """A folder of an artifact store.

    Args:
        address: Which one. Its keys are read now, so a store is opened anew after a failure.

    Raises:
        OSError: a key file can't be read.
    """

    def __init__(self, address: StoreAddress) -> None:
        self.address = address
        parts = urlsplit(address.destination)
        if parts.scheme == "s3":
            self.files: fs.FileSystem = _s3(address)
            self._root = f"{parts.netloc}/{parts.path.strip('/')}".rstrip("/")
        else:
            self.files = fs.LocalFileSystem()
            self._root = unquote(parts.path).rstrip("/") if parts.scheme == "file" else address.destination.rstrip("/")
        self._is_local = parts.scheme != "s3"

    def path(self, key: str) -> str:
        """A key below the folder, as `files` wants it."""
        return f"{self._root}/{key}"

    def put(self, key: str, content: object) -> None:
        """Write a file that is complete or absent.

        Args:
            key: Below the folder.
            content: A buffer.

        Raises:
            OSError: the store doesn't answer, or refuses.
        """
        path = self.path(key)
        if not self._is_local:  # an S3 server shows an object only once it is complete
            with self.files.open_output_stream(path) as out:
                out.write(content)
            return
        folder, _, name = path.rpartition("/")
        self.files.create_dir(folder, recursive=True)
        fresh = f"{folder}/.{name}.{secrets.token_hex(4)}"
        try:
            with self.files.open_output_stream(fresh) as out:
                out.write(content)
            self.files.move(fresh, path)
        finally:
            Path(fresh).unlink(missing_ok=True)

    def listed(self, key: str, *, recursive: bool = False) -> list[str]:
        """Keys of the files and folders below one, sorted; none if there is no such folder.

        Raises:
            OSError: the store doesn't answer, or refuses.
        """
        selector = fs.FileSelector(self.path(key), allow_not_found=True, recursive=recursive)
        return sorted(info.path.removeprefix(f"{self._root}/") for info in self.files.get_file_info(selector))


def _s3(address: StoreAddress) -> fs.FileSystem:
    endpoint = urlsplit(address.endpoint_url) if address.endpoint_url else None
    keys = {}
    if endpoint:
        # Servers that aren't AWS don't know its newer checksums: versitygw 1.0.14 refuses reads that ask for them, and
        # takes writes that carry them without looking at their signature.
        for variable in ("AWS_RESPONSE_CHECKSUM_VALIDATION", "AWS_REQUEST_CHECKSUM_CALCULATION"):
            os.environ.setdefault(variable, "when_required")
    if address.access_key_file and address.secret_key_file:
        keys = {
            "access_key": address.access_key_file.read_text().strip(),
            "secret_key": address.secret_key_file.read_text().strip(),
        }
    if address.certificate_authority_file:
        keys["tls_ca_file_path"] = str(address.certificate_authority_file)
    return fs.S3FileSystem(
        **keys,
        region=address.region or ("us-east-1" if endpoint else None),
        scheme=endpoint.scheme if endpoint else "https",
        endpoint_override=endpoint.netloc if endpoint else None,
        connect_timeout=_CONNECT_SECONDS,
        request_timeout=_REQUEST_SECONDS,
        background_writes=False,
        allow_delayed_open=True,  # one request for a small file instead of three
    )
