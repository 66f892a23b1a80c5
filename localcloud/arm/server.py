"""Runs the stand-in: two servers and the passing of time, on one event loop."""

import asyncio
import contextlib
import logging
import signal
import ssl
import time
from datetime import UTC, datetime

from aiohttp import web

from localcloud.arm.arm_routes import ArmRoutes, omit_empty_content_type
from localcloud.arm.estate_routes import EstateRoutes
from localcloud.arm.identity import TokenIssuer
from localcloud.arm.identity_routes import IdentityRoutes
from localcloud.arm.local_routes import LocalRoutes
from localcloud.arm.region import Region
from localcloud.arm.request_log import RequestLog
from localcloud.arm.settings import Settings, SettingsError
from localcloud.arm.throttle import Throttle
from localcloud.arm.vault_routes import VaultRoutes
from localcloud.certificate import prepare_certificate
from localcloud.leash import Lock, Watchdog

logger = logging.getLogger(__name__)

_HOST = "127.0.0.1"
_HEIR_AFTER_S = 60.0


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP; then end every agent.

    Should this process be killed instead, the agents live on for a minute, in which a new one on
    the same folder may take them over.

    Raises:
        SettingsError: Another stand-in uses the folder.
        OSError: A port is taken.
    """
    settings.folder.mkdir(parents=True, exist_ok=True)
    lock_file = settings.folder / "lock"
    lock = Lock(lock_file)
    if not lock.take():
        raise SettingsError(f"another process uses {settings.folder}")
    over = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    region = Region(
        dict(settings.vms),
        state_file=settings.folder / "state.json",
        imds_url=f"http://{_HOST}:{settings.imds_port}",
        clock=time.time,
    )
    watchdog = Watchdog(region.tag, heir=(lock_file, _HEIR_AFTER_S))
    async with contextlib.AsyncExitStack() as closing:
        closing.callback(lock.free)
        closing.callback(watchdog.dismiss)
        closing.callback(region.close)
        await _open(settings, region, closing)
        passing = asyncio.create_task(region.run())
        waiting = asyncio.create_task(over.wait())
        # If time stops passing there is a fault in here: better to end than to stand still.
        await asyncio.wait({passing, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if passing.done():
            await passing
        passing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await passing


async def _open(settings: Settings, region: Region, closing: contextlib.AsyncExitStack) -> None:
    issuer = TokenIssuer(settings.folder / "token.key")
    identity = web.Application()
    IdentityRoutes(
        settings.vms,
        issuer,
        subscription_id=settings.subscription_id,
        identity_header=settings.identity_header,
        clock=time.time,
    ).add_to(identity)
    arm = web.Application()
    arm.on_response_prepare.append(omit_empty_content_type)
    throttle = Throttle(time.time, is_on=settings.limits_rates)
    log = RequestLog()
    estate = (
        EstateRoutes(settings.estate, region, settings.subscription_id)
        if settings.estate
        else None
    )
    ArmRoutes(region, issuer, throttle, settings.subscription_id, time.time, log, estate).add_to(
        arm
    )
    if estate:
        VaultRoutes(estate, issuer).add_to(arm)
    LocalRoutes(region, throttle, time.time, log).add_to(arm)
    for app, port, context in (
        (identity, settings.imds_port, None),
        (arm, settings.port, _build_ssl_context(settings)),
    ):
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        closing.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, _HOST, port, ssl_context=context).start()
        logger.info("listening on port %d", port)


def _build_ssl_context(settings: Settings) -> ssl.SSLContext:
    chain, key = settings.chain, settings.key
    if chain is None or key is None:
        made = prepare_certificate(settings.folder / "tls", now=datetime.now(UTC))
        chain, key = made.chain, made.key
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(chain, key)
    return context
