"""What happens to one job, from the image in the store to the manifest in the store."""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from gpu_agent.engines import Artifact, Engine, EngineError, Generated, Watch
from gpu_agent.errors import JobError, StoreError
from gpu_agent.lane import Lane
from gpu_agent.runs import Run
from gpu_agent.store import ArtifactStore, is_path
from gpu_agent.wire import JobView, Stage

logger = logging.getLogger(__name__)

MAX_INPUT_BYTES = 64 * 1024 * 1024
"""A PNG of 2048 x 2048 with alpha has 16 MiB of pixels; four times that is no such image."""

MAX_MANIFEST_BYTES = 4 * 1024 * 1024


class StageWatch(Watch, Protocol):
    """A watch that can also say that nothing is under way."""

    def end_stage(self) -> None:
        """Say that the stage is done and the next one has to wait."""


def make_model(
    run: Run,
    *,
    engine: Engine,
    store: ArtifactStore,
    watch: StageWatch,
    lane: Lane,
    look: Callable[[], JobView],
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
    watch.stage(Stage.FETCH)
    found = _read_manifest(store, asked.manifest_path)
    if found is not None:
        logger.info("manifest found", extra={"job_id": run.key.job_id, "epoch": run.epoch})
        return found
    image_png = store.read(asked.input_path, MAX_INPUT_BYTES)
    watch.end_stage()
    with lane.hold(run.stopped):
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
    }
    return _put_manifest(store, asked.manifest_path, manifest, watch)


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
