"""The activity behind ``context.call_http``, which the host itself provides."""

import os
from collections.abc import Mapping
from typing import Any

import aiohttp

TIMEOUT_S = 100.0


async def call_http(request: Mapping[str, Any]) -> dict[str, Any]:
    """Perform one HTTP request.

    Args:
        request: ``method``, ``uri``, ``headers``, ``content`` and perhaps ``tokenSource``.

    Returns:
        ``statusCode``, ``headers`` and ``content``, whatever the status.

    Raises:
        aiohttp.ClientError: No answer came.
    """
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        headers = dict(request.get("headers") or {})
        source = request.get("tokenSource")
        if source:
            token = await _fetch_token(session, str(source["resource"]))
            headers["Authorization"] = f"Bearer {token}"
        content = request.get("content")
        if content and not any(name.lower() == "content-type" for name in headers):
            headers["Content-Type"] = "application/json"
        async with session.request(
            request["method"],
            request["uri"],
            headers=headers,
            data=None if content is None else str(content).encode(),
            allow_redirects=False,
        ) as answer:
            return {
                "statusCode": answer.status,
                "headers": dict(answer.headers),
                "content": await answer.text(),
            }


async def _fetch_token(session: aiohttp.ClientSession, resource: str) -> str:
    endpoint, secret = os.environ.get("IDENTITY_ENDPOINT"), os.environ.get("IDENTITY_HEADER")
    if not endpoint or not secret:
        raise LookupError("call_http with a token needs IDENTITY_ENDPOINT and IDENTITY_HEADER")
    async with session.get(
        endpoint,
        params={"resource": resource, "api-version": "2019-08-01"},
        headers={"X-IDENTITY-HEADER": secret},
    ) as answer:
        answer.raise_for_status()
        document = await answer.json()
    return str(document["access_token"])
