"""Jobs, billed intervals and Idempotency-Keys in Table Storage. The insert is the atomic step."""

import base64
import binascii
import hashlib
import json
from collections.abc import Callable
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import (
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.data.tables import (
    EdmType,
    EntityProperty,
    TableEntity,
    TableServiceClient,
    UpdateMode,
)

from orchestrator.domain.errors import InvalidRequestError, StoreConflictError
from orchestrator.domain.job import JobRow, is_job_id, row_key

CALLER = "public"
"""Partition of the jobs; callers of their own come with keys of their own."""
MAX_CONFLICTS = 20
_INTERVAL_FIELDS = ("epoch", "began_at", "ended_at", "cost_usd", "is_estimated")


class TableJobs:
    """`JobTable` on Table Storage.

    The row is one JSON property, so that adding a field changes no schema; the state stands beside
    it to be filtered by.
    """

    def __init__(self, service: TableServiceClient) -> None:
        self._table = service.get_table_client("jobs")

    def insert(self, row: JobRow) -> bool:
        try:
            self._table.create_entity(_entity(row))
        except ResourceExistsError:
            return False
        return True

    def read(self, job_id: str) -> JobRow | None:
        entity = self._get(job_id)
        return None if entity is None else _row(entity)

    def change(self, job_id: str, change: Callable[[JobRow], JobRow | None]) -> JobRow | None:
        for _ in range(MAX_CONFLICTS):
            entity = self._get(job_id)
            if entity is None:
                return None
            row = _row(entity)
            changed = change(row)
            if changed is None or changed == row:
                return row
            try:
                self._table.update_entity(
                    _entity(changed),
                    mode=UpdateMode.REPLACE,
                    etag=entity.metadata["etag"],
                    match_condition=MatchConditions.IfNotModified,
                )
            except ResourceModifiedError:
                continue
            return changed
        raise StoreConflictError(
            f"the row of job {job_id} changed {MAX_CONFLICTS} times meanwhile"
        )

    def list_page(
        self, *, state: str | None, limit: int, token: str | None
    ) -> tuple[list[JobRow], str | None]:
        query = "PartitionKey eq @caller"
        parameters = {"caller": CALLER}
        if state is not None:
            query += " and state eq @state"
            parameters["state"] = state
        if token is not None:
            query += " and RowKey gt @after"
            parameters["after"] = _from_token(token)
        pages = self._table.query_entities(
            query, parameters=parameters, results_per_page=limit + 1
        ).by_page()
        entities: list[TableEntity] = []
        for page in pages:
            entities.extend(page)
            if len(entities) > limit:
                break
        rows = [_row(entity) for entity in entities[:limit]]
        is_more = len(entities) > limit
        return rows, _to_token(entities[limit - 1]["RowKey"]) if is_more else None

    def _get(self, job_id: str) -> TableEntity | None:
        try:
            return self._table.get_entity(CALLER, row_key(job_id))
        except ResourceNotFoundError:
            return None


class TableLedger:
    """`LedgerTable` on Table Storage: a partition a VM, a row an interval, by its begin."""

    def __init__(self, service: TableServiceClient) -> None:
        self._table = service.get_table_client("ledger")

    def record(self, interval: dict[str, Any]) -> None:
        values = {name: interval[name] for name in _INTERVAL_FIELDS}
        entity = {
            "PartitionKey": interval["vm"],
            "RowKey": f"{interval['began_at']:017.3f}",
            **values,
            # Table Storage counts in 32 bits unless told otherwise; seconds since 1970 run out.
            "epoch": EntityProperty(interval["epoch"], EdmType.INT64),
            "parts": json.dumps(interval["parts"], sort_keys=True),
        }
        try:
            self._table.create_entity(entity)
        except ResourceExistsError:
            return

    def list_intervals(self, vm: str) -> list[dict[str, Any]]:
        entities = self._table.query_entities("PartitionKey eq @vm", parameters={"vm": vm})
        return [
            {
                "vm": vm,
                **{name: entity[name] for name in _INTERVAL_FIELDS},
                "epoch": getattr(entity["epoch"], "value", entity["epoch"]),
                "parts": json.loads(entity["parts"]),
            }
            for entity in entities
        ]


class TableKeys:
    """`KeyTable` on Table Storage; only a key's hash is stored."""

    def __init__(self, service: TableServiceClient) -> None:
        self._table = service.get_table_client("idempotency")

    def find(self, key: str) -> tuple[str, str] | None:
        try:
            first = self._table.get_entity(CALLER, _key_name(key))
        except ResourceNotFoundError:
            return None
        return str(first["job_id"]), str(first["body_hash"])

    def claim(self, key: str, job_id: str, body_hash: str) -> tuple[str, str]:
        entity = {
            "PartitionKey": CALLER,
            "RowKey": _key_name(key),
            "job_id": job_id,
            "body_hash": body_hash,
        }
        try:
            self._table.create_entity(entity)
        except ResourceExistsError:
            first = self.find(key)
            if first is None:
                # Whoever was first is gone again, and so is nobody's claim.
                raise
            return first
        return job_id, body_hash


def _key_name(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _entity(row: JobRow) -> dict[str, str]:
    return {
        "PartitionKey": CALLER,
        "RowKey": row_key(row.job_id),
        "state": row.state.value,
        "row": json.dumps(row.to_json(), separators=(",", ":")),
    }


def _row(entity: TableEntity) -> JobRow:
    return JobRow.from_json(json.loads(entity["row"]))


def _to_token(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode()


def _from_token(token: str) -> str:
    try:
        key = base64.b64decode(token, altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        key = ""
    # A row key is an id's letters exchanged, and so has an id's form.
    if not is_job_id(key):
        raise InvalidRequestError(
            "page is not a token of ours: take it from next_page", code="invalid_page"
        )
    return key
