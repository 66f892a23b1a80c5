"""Blob triggers: what was written to a container is found by looking, and delivered at least once.

A receipt in the data file says of each blob which version a function has taken, how often it
failed, or that it was given up. A version is delivered until its function returns, five times at
most (``extensions.blobs.poisonBlobThreshold``). A host that was killed before the receipt was
written delivers it again.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from localcloud.clock import Clock
from localcloud.functions_host import bindings
from localcloud.functions_host.alarm import Alarm
from localcloud.functions_host.blob_paths import BlobPath
from localcloud.functions_host.blob_source import BlobSource, BlobVersion
from localcloud.functions_host.errors import BlobsUnavailableError
from localcloud.functions_host.host_settings import HostSettings, resolve
from localcloud.functions_host.loader import AppFunction
from localcloud.functions_host.store import BlobReceipt, BlobState, Store
from localcloud.functions_host.worker import Worker

logger = logging.getLogger(__name__)

POLL_INTERVAL = timedelta(seconds=2)
"""Between two looks at a container, as the Functions host has it."""
SCAN_THREADS = 4


@dataclass
class _Watch:
    """One function's container.

    Attributes:
        function: What is called.
        path: Which blobs.
        source: Where they are.
        waiting: Versions that are new, oldest found first.
        taken: Names of blobs that wait or are under way.
        running: How many are under way.
        is_silent: Whether the account's silence was logged.
    """

    function: AppFunction
    path: BlobPath
    source: BlobSource
    waiting: deque[BlobVersion] = field(default_factory=deque)
    taken: set[str] = field(default_factory=set)
    running: int = 0
    is_silent: bool = False


class BlobTriggers:
    """The blob functions of an app. A blob is never delivered twice at the same time."""

    def __init__(
        self,
        worker: Worker,
        store: Store,
        alarm: Alarm,
        clock: Clock,
        *,
        environ: Mapping[str, str],
        connect: Callable[[str, Mapping[str, str]], BlobSource],
        settings: HostSettings,
        poll_interval: timedelta = POLL_INTERVAL,
        executor: Executor | None = None,
    ) -> None:
        """Read the paths and connections; nothing is asked yet.

        Args:
            worker: Runs the functions.
            store: Keeps the receipts.
            alarm: Tells when to look.
            clock: Source of times.
            environ: App settings.
            connect: Reaches the account of a connection.
            settings: What host.json says of concurrency and attempts.
            poll_interval: Between the end of a look and the next one.
            executor: Asks the accounts; None for threads of its own.

        Raises:
            AppLoadError: A path can't be read, or its connection's setting is missing.
        """
        self._worker = worker
        self._store = store
        self._alarm = alarm
        self._clock = clock
        self._limit = settings.max_concurrent_blobs
        self._attempts = settings.blob_attempts
        self._poll_interval = poll_interval
        self._pool = executor or ThreadPoolExecutor(SCAN_THREADS, "blobs")
        self._lock = threading.Lock()
        self._is_stopped = False
        self._watches = [
            _Watch(
                function,
                BlobPath(resolve(str(function.trigger["path"]), environ)),
                connect(str(function.trigger.get("connection") or ""), environ),
            )
            for function in worker.app.functions.values()
            if function.trigger_type == "blobTrigger"
        ]

    def start(self) -> None:
        """Look at every container, now and from now on; what lies there already is delivered."""
        for watch in self._watches:
            self._submit(partial(self._look, watch))

    def stop(self) -> None:
        """Deliver nothing more; what is under way gets no receipt and is delivered again."""
        with self._lock:
            self._is_stopped = True
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _submit(self, call: Callable[[], None]) -> None:
        try:
            self._pool.submit(call)
        except RuntimeError:
            # The pool takes nothing more: the host is stopping.
            return

    def _look(self, watch: _Watch) -> None:
        if self._is_stopped:
            return
        try:
            self._find_new(watch)
            watch.is_silent = False
        except BlobsUnavailableError as error:
            if not watch.is_silent:
                logger.warning("can't look for blobs of %s: %s", watch.function.name, error)
            watch.is_silent = True
        except Exception:
            logger.exception("a look for blobs of %s failed", watch.function.name)
        self._alarm.at(
            self._clock.now() + self._poll_interval,
            partial(self._submit, partial(self._look, watch)),
        )
        self._deliver_waiting(watch)

    def _find_new(self, watch: _Watch) -> None:
        listed = watch.source.list_versions(watch.path.container, watch.path.prefix)
        versions = {one.name: one for one in listed if watch.path.match(one.name) is not None}
        with self._lock:
            # Read under the lock: a delivery that ends now has its receipt before it is let go.
            receipts = self._store.read_blob_receipts(watch.function.name, watch.path.container)
            for version in versions.values():
                if version.name not in watch.taken and _is_due(version, receipts):
                    watch.taken.add(version.name)
                    watch.waiting.append(version)
            gone = [name for name in receipts if name not in versions and name not in watch.taken]
        if gone:
            self._store.drop_blob_receipts(watch.function.name, watch.path.container, gone)

    def _deliver_waiting(self, watch: _Watch) -> None:
        while True:
            with self._lock:
                if self._is_stopped or not watch.waiting or watch.running >= self._limit:
                    return
                version = watch.waiting.popleft()
                watch.running += 1
            try:
                self._deliver(watch, version)
            except Exception as error:  # noqa: BLE001 - the next look finds it again
                logger.warning("%s was not read: %s", version.name, error)
                self._let_go(watch, version)

    def _deliver(self, watch: _Watch, version: BlobVersion) -> None:
        function, container = watch.function, watch.path.container
        content = watch.source.read(container, version)
        tokens = watch.path.match(version.name)
        if content is None or tokens is None:
            self._let_go(watch, version)
            return
        datum, metadata = bindings.to_blob_datum(container, version, content, tokens)
        future = self._worker.submit(function, bindings.decode_trigger(function, datum, metadata))
        future.add_done_callback(lambda done: self._finish(watch, version, done))

    def _finish(self, watch: _Watch, version: BlobVersion, done: "Future[Any]") -> None:
        if self._is_stopped:
            return
        try:
            self._note(watch, version, _find_error(done))
        except Exception:
            logger.exception("the receipt of %s was not stored", version.name)
        self._let_go(watch, version)
        self._submit(partial(self._deliver_waiting, watch))

    def _note(self, watch: _Watch, version: BlobVersion, error: BaseException | None) -> None:
        function, container = watch.function.name, watch.path.container
        old = self._store.read_blob_receipts(function, container).get(version.name)
        failures = old.failures if old is not None and old.etag == version.etag else 0
        state = BlobState.TAKEN
        if error is not None:
            failures += 1
            state = BlobState.POISON if failures >= self._attempts else BlobState.FAILED
            logger.error(
                "%s failed on the blob %s/%s, attempt %d of %d",
                function,
                container,
                version.name,
                failures,
                self._attempts,
                exc_info=error,
            )
        if state is BlobState.POISON:
            logger.critical(
                "POISON: %s is never given the blob %s/%s (ETag %s) again; Azure would write it "
                "to the queue webjobs-blobtrigger-poison",
                function,
                container,
                version.name,
                version.etag,
            )
        self._store.write_blob_receipt(
            BlobReceipt(function, container, version.name, version.etag, failures, state)
        )

    def _let_go(self, watch: _Watch, version: BlobVersion) -> None:
        with self._lock:
            watch.taken.discard(version.name)
            watch.running -= 1


def _is_due(version: BlobVersion, receipts: Mapping[str, BlobReceipt]) -> bool:
    receipt = receipts.get(version.name)
    return receipt is None or receipt.etag != version.etag or receipt.state is BlobState.FAILED


def _find_error(done: "Future[Any]") -> BaseException | None:
    if done.cancelled():
        return RuntimeError("it was cancelled")
    error = done.exception()
    if error is None and done.result() is not None:
        return RuntimeError("it returned a value without a $return binding")
    return error
