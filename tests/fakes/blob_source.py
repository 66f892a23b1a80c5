"""A storage account in memory."""

import itertools
from datetime import UTC, datetime

from localcloud.functions_host.blob_source import BlobContent, BlobVersion
from localcloud.functions_host.errors import BlobsUnavailableError

WRITTEN_AT = datetime(2026, 1, 1, tzinfo=UTC)


class FakeBlobSource:
    """`BlobSource` that tests write to.

    Attributes:
        is_down: Whether it refuses everything.
        reads: Names that were read.
    """

    def __init__(self):
        self.is_down = False
        self.reads = []
        self._blobs = {}
        self._numbers = itertools.count(1)

    def write(self, path, data=b"", **metadata):
        """Write ``container/name``, in the place of what is there."""
        container, _, name = path.partition("/")
        version = BlobVersion(name, f"0x{next(self._numbers):X}")
        uri = f"https://fake.invalid/{path}"
        content = BlobContent(data, uri, "text/plain", WRITTEN_AT, WRITTEN_AT, metadata)
        self._blobs[container, name] = (version, content)

    def delete(self, path):
        container, _, name = path.partition("/")
        del self._blobs[container, name]

    def list_versions(self, container, prefix):
        self._answer()
        return [
            version
            for (where, name), (version, _) in sorted(self._blobs.items())
            if where == container and name.startswith(prefix)
        ]

    def read(self, container, version):
        self._answer()
        self.reads.append(version.name)
        newest, content = self._blobs.get((container, version.name), (None, None))
        return content if newest == version else None

    def _answer(self):
        if self.is_down:
            raise BlobsUnavailableError("ServiceRequestError: connection refused")
