"""What happens to one job, from the image in the store to the manifest in the store."""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any, TypeVar

from gpu_agent.artifacts.store import ArtifactStore, is_path
from gpu_agent.engines import Artifact, Engine, EngineError, Generated, Watch
from gpu_agent.errors import JobError, StoreError, StoreUnavailableError
from gpu_agent.jobs.run import Run
from gpu_agent.wire import JobView, Stage
from gpu_agent.work.fifo_lock import FifoLock

logger = logging.getLogger(__name__)

MAX_INPUT_BYTES = 64 * 1024 * 1024
"""A PNG of 2048 x 2048 with alpha has 16 MiB of pixels; four times that is no such image."""

MAX_MANIFEST_BYTES = 4 * 1024 * 1024

FIRST_PAUSE_S = 0.5
"""Before a store that is not there is asked again, in seconds; doubled each time …"""

LONGEST_PAUSE_S = 8.0
"""… up to this."""

Answer = TypeVar("Answer")


def make_model(
    run: Run,
    *,
    engine: Engine,
    store: ArtifactStore,
    watch: Watch,
    engine_lock: FifoLock,
    look: Callable[[], JobView],
    store_patience_s: float = 0.0,
) -> dict[str, Any]:
    """Fetch the image, make the model, put the artifacts and, last of all, the manifest.

    Safe to run twice for one job: the first manifest wins, and is the answer of every later run.
    A cancellation between the last check and the manifest's write leaves the manifest in place;
    the job stays cancelled all the same.

    Returns:
        The manifest that lies in the store.

    Raises:
        JobError: With a code for the job's owner.
    """
    asked = run.submission
    store = PatientStore(store, run, watch, patience_s=store_patience_s)
    watch.stage(Stage.FETCH)
    found = _read_manifest(store, asked.manifest_path)
    if found is not None:
        logger.info("manifest found", extra={"job_id": run.key.job_id, "epoch": run.epoch})
        return found
    image_png = store.read(asked.input_path, MAX_INPUT_BYTES)
    watch.end_stage()
    with nullcontext() if engine.info.is_concurrent else engine_lock.hold(run.stopped):
        watch.check()
        generated = _generate(engine, image_png, run, watch)
        # The next job may have the engine while this one uploads.
        watch.end_stage()
    watch.stage(Stage.UPLOAD)
    entries = list(_put_artifacts(generated.artifacts, asked.output_prefix, store, watch))
    watch.end_stage()
    manifest = {
        "job_id": run.key.job_id,
        "fence": run.key.fence,
        "epoch": run.epoch,
        "engine": {
            "name": engine.info.name,
            "version": engine.info.version,
            "description": engine.info.description,
        },
        "options": asked.options,
        "seed": generated.seed,
        "stage_seconds": look().stage_seconds,
        "mesh": generated.mesh,
        "artifacts": entries,
        "created_at": round(time.time(), 3),
        "notice": generated.notice,
        "result": dict(generated.result),
    }
    return _put_manifest(store, asked.manifest_path, manifest, watch)


class PatientStore:
    """A store that is asked again while it is unavailable: what was made is not thrown away.

    Args:
        store: The store.
        run: Whose end interrupts a pause.
        watch: Asked after every pause.
        patience_s: How long a call may go on failing, in seconds.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        store: ArtifactStore,
        run: Run,
        watch: Watch,
        *,
        patience_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._run = run
        self._watch = watch
        self._patience_s = patience_s
        self._clock = clock

    def read(self, path: str, max_bytes: int) -> bytes:
        """Give a file; see `ArtifactStore.read`."""
        return self._call_with_retry(lambda: self._store.read(path, max_bytes))

    def read_or_none(self, path: str, max_bytes: int) -> bytes | None:
        """Give a file or None; see `ArtifactStore.read_or_none`."""
        return self._call_with_retry(lambda: self._store.read_or_none(path, max_bytes))

    def write(self, path: str, data: bytes, content_type: str) -> None:
        """Put a file; see `ArtifactStore.write`."""
        self._call_with_retry(lambda: self._store.write(path, data, content_type))

    def write_if_absent(self, path: str, data: bytes, content_type: str) -> bool:
        """Put a file unless one is there; see `ArtifactStore.write_if_absent`."""
        return self._call_with_retry(lambda: self._store.write_if_absent(path, data, content_type))

    def _call_with_retry(self, call: Callable[[], Answer]) -> Answer:
        end = self._clock() + self._patience_s
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return call()
            except StoreUnavailableError as error:
                if self._clock() + pause_s > end:
                    raise
                about = dict(self._watch.about)
                logger.warning("the store is asked again: %s", error, extra=about)
            self._run.stopped.wait(pause_s)
            self._watch.check()
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def _generate(engine: Engine, image_png: bytes, run: Run, watch: Watch) -> Generated:
    try:
        generated = engine.generate(image_png, run.submission.options, watch)
    except JobError:
        raise
    except Exception as error:
        logger.exception("engine broke", extra={"job_id": run.key.job_id, "epoch": run.epoch})
        message = f"The engine failed unexpectedly ({type(error).__name__})."
        raise EngineError("engine_failed", message, retryable=True) from error
    if not generated.artifacts:
        raise EngineError("engine_failed", "The engine gave no artifact.", retryable=False)
    return generated


def _put_artifacts(
    artifacts: tuple[Artifact, ...], prefix: str, store: ArtifactStore, watch: Watch
) -> Iterable[dict[str, Any]]:
    for done, artifact in enumerate(artifacts):
        watch.stage(Stage.UPLOAD, 100.0 * done / len(artifacts))
        path = prefix + artifact.name
        if "/" in artifact.name or not is_path(path):
            raise EngineError("engine_failed", "The engine gave an artifact an unfit name.")
        store.write(path, artifact.data, artifact.content_type)
        yield {
            "name": artifact.name,
            "path": path,
            "content_type": artifact.content_type,
            "size_bytes": len(artifact.data),
            "sha256": hashlib.sha256(artifact.data).hexdigest(),
        }


def _put_manifest(
    store: ArtifactStore, path: str, manifest: dict[str, Any], watch: Watch
) -> dict[str, Any]:
    try:
        data = json.dumps(manifest, allow_nan=False, indent=1).encode()
    except (TypeError, ValueError) as error:
        raise EngineError("engine_failed", "The engine gave figures that are no JSON.") from error
    watch.check()
    if store.write_if_absent(path, data, "application/json"):
        return manifest
    found = _read_manifest(store, path)
    if found is None:
        raise StoreError("The manifest was there and is gone.")
    return found


def _read_manifest(store: ArtifactStore, path: str) -> dict[str, Any] | None:
    data = store.read_or_none(path, MAX_MANIFEST_BYTES)
    if data is None:
        return None
    try:
        manifest = json.loads(data)
    except ValueError as error:
        raise StoreError("The manifest in the store is no JSON.") from error
    if not isinstance(manifest, dict):
        raise StoreError("The manifest in the store is no JSON object.")
    return manifest
