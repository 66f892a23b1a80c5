"""Azure Resource Manager's HTTP: who asks, about what, and what is answered."""

import email.utils
import logging
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from aiohttp import web

from localcloud.arm.addresses import Address, Target, read_path
from localcloud.arm.errors import ArmError, bad_request, not_found
from localcloud.arm.estate_routes import EstateRoutes
from localcloud.arm.faults import FaultName, find, find_refusal
from localcloud.arm.identity import MANAGEMENT_AUDIENCES, TENANT_ID, TokenError, TokenIssuer
from localcloud.arm.region import Region
from localcloud.arm.rendering import (
    build_operation_url,
    is_in_progress,
    render_instance_view,
    render_operation,
    render_vm,
)
from localcloud.arm.request_log import RequestLog
from localcloud.arm.settings import VmSpec
from localcloud.arm.throttle import Throttle, find_throttling
from localcloud.arm.vm import Operation, OperationStatus, Vm

logger = logging.getLogger(__name__)

_REMAINING = "x-ms-ratelimit-remaining-resource"
_API_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(-preview)?")


class ArmRoutes:
    """Answers requests under ``/subscriptions``."""

    def __init__(
        self,
        region: Region,
        issuer: TokenIssuer,
        throttle: Throttle,
        subscription_id: str,
        clock: Callable[[], float],
        log: RequestLog,
        estate: EstateRoutes | None = None,
    ) -> None:
        """Answer for a region.

        Args:
            region: Where the VMs are.
            issuer: Recognises the callers' tokens.
            throttle: Counts their requests.
            subscription_id: Whose the VMs are.
            clock: Gives epoch seconds.
            log: Is told of every request.
            estate: Answers what is asked about anything but VMs; None: nothing else is there.
        """
        self._region = region
        self._estate = estate
        self._issuer = issuer
        self._throttle = throttle
        self._subscription_id = subscription_id
        self._clock = clock
        self._log = log

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_route("*", "/subscriptions/{path:.*}", self.answer)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request, unless a fault gets in its way."""
        code = None
        try:
            response = self._answer(request)
        except ArmError as error:
            logger.info(
                "%s %s: %d %s", request.method, request.path, error.status, error.detail.code
            )
            code = error.detail.code
            response = reply_with_error(error)
        is_dropped = request.transport is None or request.transport.is_closing()
        self._log.note(
            read_path(request.path),
            at=self._clock(),
            status=0 if is_dropped else response.status,
            code=code,
        )
        response.headers["x-ms-request-id"] = str(uuid.uuid4())
        if skews := find(self._region.faults, FaultName.CLOCK_SKEW, None):
            moment = self._clock() + skews[-1].options["seconds"]
            response.headers["Date"] = email.utils.formatdate(moment, usegmt=True)
        kind, left = ("reads", "3749") if request.method == "GET" else ("writes", "2999")
        response.headers[f"x-ms-ratelimit-remaining-subscription-global-{kind}"] = left
        if remaining := request.get(_REMAINING):
            response.headers[_REMAINING] = remaining
        if client_request_id := request.headers.get("x-ms-client-request-id"):
            response.headers["x-ms-client-request-id"] = client_request_id
        return response

    def _answer(self, request: web.Request) -> web.Response:
        claims = self._check_token(request)
        _check_api_version(request)
        if self._estate and "xms_mirid" not in claims:
            body = self._estate.answer(request.method, request.path, request.query)
            if body is not None:
                return web.json_response(body)
        address = read_path(request.path)
        if address is None:
            raise not_found("InvalidResourceType", f"Nothing is served under {request.path}.")
        if request.method != address.target.method:
            raise ArmError(
                HTTPStatus.METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                f"{request.path} takes {address.target.method}.",
            )
        if address.subscription.lower() != self._subscription_id.lower():
            raise not_found(
                "SubscriptionNotFound",
                f"The subscription '{address.subscription}' could not be found.",
            )
        if not is_allowed(claims, address):
            raise _forbid(claims, address, request.path)
        self._count(address, request)
        is_write = address.target.method != "GET"
        refusals = {FaultName.THROTTLED, FaultName.REFUSED, FaultName.SERVER_ERROR}
        if fault := self._region.take_fault(refusals, address.vm, is_write=is_write):
            raise find_refusal(fault, address.target)
        if self._region.take_fault({FaultName.DROPPED}, address.vm, is_write=is_write):
            return _drop(request)
        response = self._act(address, request)
        if self._region.take_fault({FaultName.LOST_REPLY}, address.vm, is_write=is_write):
            return _drop(request)
        return response

    def _count(self, address: Address, request: web.Request) -> None:
        vm = self._find_owner(address)
        if admission := self._throttle.count(address.target, vm):
            request[_REMAINING] = admission.remaining
            if error := find_throttling(admission):
                raise error

    def _find_owner(self, address: Address) -> str | None:
        """Find the VM that a request, or the operation that it asks about, belongs to."""
        if address.operation:
            found = self._region.find_operation(address.operation)
            return found[1] if found else None
        wanted = (address.vm or "").lower()
        names = (spec.name for _, spec in self._region.list_vms())
        return next((name for name in names if name.lower() == wanted), None)

    def _act(self, address: Address, request: web.Request) -> web.Response:
        match address.target:
            case Target.VMS_OF_GROUP | Target.VMS_OF_SUBSCRIPTION:
                return self._list(address, request)
            case Target.OPERATION:
                return self._poll(address, request)
        vm, spec = self._find(address)
        match address.target:
            case Target.VM:
                expand = request.query.get("$expand", "")
                return self._reply_with_vm(vm, spec, with_view="instanceview" in expand.lower())
            case Target.INSTANCE_VIEW:
                return web.json_response(render_instance_view(vm, now=self._clock()))
            case Target.START:
                operation = self._region.start(vm.name)
            case Target.DEALLOCATE:
                operation = self._region.deallocate(vm.name)
            case _:
                operation = self._region.power_off(vm.name)
        return self._accept(operation, spec, request)

    def _find(self, address: Address) -> tuple[Vm, VmSpec]:
        listed = self._list_group(address.group or "")
        for vm, spec in listed:
            if vm.name.lower() == (address.vm or "").lower():
                return vm, spec
        raise not_found(
            "ResourceNotFound",
            f"The Resource 'Microsoft.Compute/virtualMachines/{address.vm}' under resource group "
            f"'{address.group}' was not found. For more details please go to "
            "https://aka.ms/ARMResourceNotFoundFix",
        )

    def _list_group(self, group: str) -> list[tuple[Vm, VmSpec]]:
        found = [
            (vm, spec)
            for vm, spec in self._region.list_vms()
            if spec.resource_group.lower() == group.lower()
        ]
        if not found:
            raise not_found(
                "ResourceGroupNotFound", f"Resource group '{group}' could not be found."
            )
        faults = self._region.faults
        return [
            (vm, self._with_image(spec))
            for vm, spec in found
            if not find(faults, FaultName.VM_MISSING, spec.name)
        ]

    def _with_image(self, spec: VmSpec) -> VmSpec:
        others = find(self._region.faults, FaultName.IMAGE, spec.name)
        return replace(spec, image_version=others[-1].options["version"]) if others else spec

    def _list(self, address: Address, request: web.Request) -> web.Response:
        listed = (
            self._region.list_vms()
            if address.target is Target.VMS_OF_SUBSCRIPTION
            else self._list_group(address.group or "")
        )
        with_view = request.query.get("statusOnly", "").lower() == "true"
        now = self._clock()
        value = [
            render_vm(
                vm, spec, subscription_id=self._subscription_id, now=now, with_view=with_view
            )
            for vm, spec in listed
        ]
        return web.json_response({"value": value})

    def _reply_with_vm(self, vm: Vm, spec: VmSpec, *, with_view: bool) -> web.Response:
        body = render_vm(
            vm,
            spec,
            subscription_id=self._subscription_id,
            now=self._clock(),
            with_view=with_view,
        )
        return web.json_response(body, headers={"ETag": body["etag"]})

    def _accept(self, operation: Operation, spec: VmSpec, request: web.Request) -> web.Response:
        url = build_operation_url(
            f"https://{request.host}",
            subscription_id=self._subscription_id,
            location=spec.location,
            operation=operation,
            api_version=request.query["api-version"],
        )
        headers = {
            "Azure-AsyncOperation": url,
            "Azure-AsyncNotification": "Enabled",
            "Location": f"{url}&monitor=true",
        }
        return web.Response(status=HTTPStatus.ACCEPTED, headers=headers)

    def _poll(self, address: Address, request: web.Request) -> web.Response:
        found = self._region.find_operation(address.operation or "")
        if found is None:
            raise not_found("NotFound", f"The entity {address.operation} was not found.")
        operation, _ = found
        if request.query.get("monitor") != "true":
            return web.json_response(render_operation(operation))
        if is_in_progress(operation):
            location = f"https://{request.host}{request.rel_url.raw_path_qs}"
            return web.Response(status=HTTPStatus.ACCEPTED, headers={"Location": location})
        if operation.status is OperationStatus.FAILED and operation.failure:
            failure = operation.failure
            raise ArmError(HTTPStatus.CONFLICT, failure.code, failure.message)
        return web.Response(status=HTTPStatus.OK)

    def _check_token(self, request: web.Request) -> dict[str, Any]:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token:
            raise _refuse_token(
                "AuthenticationFailed", "Authentication failed. The header is missing."
            )
        try:
            return self._issuer.check(token.strip(), audiences=MANAGEMENT_AUDIENCES)
        except TokenError as error:
            raise _refuse_token(error.code, str(error)) from error


def is_allowed(claims: Mapping[str, Any], address: Address) -> bool:
    """Tell whether an identity may do what it asks: a VM's may deallocate that VM, and no more."""
    bearer = read_path(claims.get("xms_mirid", ""))
    if bearer is None:
        return True
    is_same = (
        (bearer.group or "").lower() == (address.group or "").lower()
        and (bearer.vm or "").lower() == (address.vm or "").lower()
        and bearer.subscription.lower() == address.subscription.lower()
    )
    return address.target is Target.DEALLOCATE and is_same


def _forbid(claims: Mapping[str, Any], address: Address, path: str) -> ArmError:
    verb = address.target.value.split()[-1]
    action = "Microsoft.Compute/virtualMachines/" + (
        f"{verb}/action" if address.target.method == "POST" else "read"
    )
    return ArmError(
        HTTPStatus.FORBIDDEN,
        "AuthorizationFailed",
        f"The client '{claims['appid']}' with object id '{claims['oid']}' does not have "
        f"authorization to perform action '{action}' over scope '{path}' or the scope is invalid. "
        "If access was recently granted, please refresh your credentials.",
    )


def reply_with_error(error: ArmError) -> web.Response:
    """Answer in the shape that Azure gives its errors."""
    return web.json_response(error.to_json(), status=error.status, headers=error.headers)


async def omit_empty_content_type(_: web.Request, response: web.StreamResponse) -> None:
    """Send no Content-Type where there is no content, as Azure does."""
    if response.headers.get("Content-Length") == "0":
        response.headers.popall("Content-Type", None)


def _check_api_version(request: web.Request) -> None:
    version = request.query.get("api-version")
    if not version:
        raise bad_request(
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        )
    if not _API_VERSION.fullmatch(version):
        raise bad_request("InvalidApiVersionParameter", f"The api-version '{version}' is invalid.")


def _refuse_token(code: str, message: str) -> ArmError:
    authority = f"https://login.windows.net/{TENANT_ID}"
    challenge = (
        f'Bearer authorization_uri="{authority}", error="invalid_token", '
        f'error_description="{message}"'
    )
    return ArmError(
        HTTPStatus.UNAUTHORIZED, code, message, headers={"WWW-Authenticate": challenge}
    )


def _drop(request: web.Request) -> web.Response:
    if request.transport:
        request.transport.abort()
    return web.Response()
