"""The pool's state in one blob, guarded by its ETag."""

import orjson
from azure.core import MatchConditions
from azure.core.exceptions import (
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.storage.blob import BlobServiceClient, ContentSettings

from orchestrator.domain.errors import StoreConflictError
from orchestrator.domain.pool.state import PoolState

CONTAINER = "pool"
BLOB = "state.json"


class BlobPoolStore:
    """`PoolStore` on Blob Storage."""

    def __init__(self, service: BlobServiceClient) -> None:
        self._blob = service.get_blob_client(CONTAINER, BLOB)

    def read(self) -> tuple[PoolState, str | None]:
        try:
            download = self._blob.download_blob()
            data = download.readall()
        except ResourceNotFoundError:
            return PoolState(), None
        return PoolState.from_json(orjson.loads(data)), download.properties.etag

    def write(self, state: PoolState, version: str | None) -> str:
        data = orjson.dumps(state.to_json())
        condition = (
            {"overwrite": False}
            if version is None
            else {
                "overwrite": True,
                "etag": version,
                "match_condition": MatchConditions.IfNotModified,
            }
        )
        try:
            answer = self._blob.upload_blob(
                data, content_settings=ContentSettings("application/json"), **condition
            )
        except (ResourceModifiedError, ResourceExistsError, ResourceNotFoundError) as error:
            raise StoreConflictError("the pool's state was changed meanwhile") from error
        etag: str = answer["etag"]
        return etag
