"""Runs both servers on the same weights and lets their rounds take turns."""

import itertools
import os
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.agent.crowd import Round, run_round
from benchmarks.agent.meshes import least_distance
from benchmarks.agent.ours import Ours
from benchmarks.agent.peer import Peer
from benchmarks.agent.reference import read_references
from benchmarks.agent.tasks import OURS, PEER, Task, list_tasks
from benchmarks.surfaces import Surface, surface_distance
from gpu_agent.engines.hunyuan3d.tiny.folder import write_tiny_weights
from localcloud.blueprint import ROOT

BARE_PEER = "peer_bare"
"""The peer without its clean-up: less work than ours."""

SMALL_OCTREE, LARGE_OCTREE = 32, 128
SLOTS = 16


@dataclass(frozen=True, slots=True)
class Load:
    """One kind of round.

    Attributes:
        name: Of the figures.
        clients: At one time.
        jobs: Of a round.
        octree: Of the jobs.
        rounds: Of each side.
        sides: Which take turns.
        is_polled: Whether ``/live`` is asked for meanwhile.
        is_burst: Whether all jobs come at once.
    """

    name: str
    clients: int
    jobs: int
    octree: int = SMALL_OCTREE
    rounds: int = 5
    sides: tuple[str, ...] = (OURS, PEER)
    is_polled: bool = False
    is_burst: bool = False


SEQUENTIAL, FOUR, SIXTEEN, BURST = "sequential", "clients_4", "clients_16", "burst"
LARGE_SEQUENTIAL, LARGE_FOUR = "sequential_128", "clients_4_128"


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is run.

    Attributes:
        loads: One after the other.
        threads: Thread counts between which the peer's is chosen; the first if there is one.
        threads_jobs: Jobs of each round in which they compete.
        memory_jobs: After how many jobs our memory is read, twice.
        quiet_s: How long a peer that makes no model keeps its clients waiting, in seconds.
    """

    loads: tuple[Load, ...]
    threads: tuple[int, ...] = (1, 2)
    threads_jobs: int = 8
    memory_jobs: tuple[int, int] = (100, 500)
    quiet_s: float = 60.0


FULL = Plan(
    loads=(
        Load(SEQUENTIAL, clients=1, jobs=12),
        Load(FOUR, clients=4, jobs=24),
        Load(SIXTEEN, clients=16, jobs=96, sides=(OURS, PEER, BARE_PEER), is_polled=True),
        Load(LARGE_SEQUENTIAL, clients=1, jobs=3, octree=LARGE_OCTREE, rounds=3),
        Load(LARGE_FOUR, clients=4, jobs=8, octree=LARGE_OCTREE, rounds=3),
        Load(BURST, clients=100, jobs=100, rounds=1, is_polled=True, is_burst=True),
    )
)
QUICK = Plan(
    loads=(
        Load(SEQUENTIAL, clients=1, jobs=2, rounds=1),
        Load(SIXTEEN, clients=4, jobs=4, rounds=1, is_polled=True),
        Load(BURST, clients=4, jobs=4, rounds=1, is_polled=True, is_burst=True),
    ),
    threads=(1,),
    memory_jobs=(2, 4),
    quiet_s=5.0,
)
"""Enough to see that all of it works; its figures mean nothing."""


References = Mapping[str, Mapping[str, Surface]]
"""Meshes by side and name of the task."""


@dataclass(frozen=True, slots=True)
class Remains:
    """What a side had on disk before its jobs and after, apart from the agent's store.

    Attributes:
        jobs: How many jobs it was given.
        files_before: Files in its working directory, its data and its TMPDIR.
        files_after: The same when every job was over.
    """

    jobs: int
    files_before: int
    files_after: int


@dataclass(slots=True)
class Measured:
    """All samples.

    Attributes:
        threads: Rounds of the peer by its threads.
        threads_chosen: With which it was faster.
        least_distance: Of two different tasks' references.
        sides_apart: The largest distance of both sides' references for one task.
        rounds: By name of the load and side, in the order they were run.
        memory_mib: Resident memory of the agent and its processes, by jobs done.
        remains: By side.
    """

    least_distance: float
    sides_apart: float
    threads: dict[int, list[Round]] = field(default_factory=dict)
    threads_chosen: int = 1
    rounds: dict[tuple[str, str], list[Round]] = field(default_factory=dict)
    memory_mib: dict[int, float] = field(default_factory=dict)
    remains: dict[str, Remains] = field(default_factory=dict)


def compare_servers(
    folder: Path, plan: Plan, say: Callable[[str], None], *, has_peer: bool = True
) -> Measured:
    """Start both servers, run the plan, end them.

    Args:
        folder: For weights, references and the servers' files; empty.
        plan: How much is run.
        say: Told of each round.
        has_peer: Whether the peer takes part.
    """
    weights = folder / "weights"
    write_tiny_weights(weights, ["draft"])
    octrees = sorted({load.octree for load in plan.loads})
    references = _make_references(weights, folder / "references", octrees)
    measured = _compare_references(references)
    if has_peer:
        _choose_threads(folder, weights, plan, references, measured, say)
    small = Hosting(folder, weights, plan, has_peer, 1, measured.threads_chosen)
    with small.serving() as (ours, peer):
        before = _count_files(ours, peer)
        for load in plan.loads:
            if load.octree == SMALL_OCTREE:
                _run_load(load, ours, peer, references, measured, say)
        _weigh(ours, plan, references, measured, say)
        measured.remains = _compare_files(before, _count_files(ours, peer), measured)
    large = [load for load in plan.loads if load.octree != SMALL_OCTREE]
    if large:
        # A volume so large keeps every core at work by itself.
        cores = os.cpu_count() or 1
        with Hosting(folder / "large", weights, plan, has_peer, cores, cores).serving() as sides:
            for load in large:
                _run_load(load, *sides, references, measured, say)
    return measured


def cycle_tasks(octree: int, count: int) -> list[Task]:
    """Give so many tasks, the list over and over."""
    return list(itertools.islice(itertools.cycle(list_tasks(octree)), count))


def _compare_references(references: References) -> Measured:
    names = [task.name for task in list_tasks(SMALL_OCTREE)]
    ours, theirs = ([references[side][name] for name in names] for side in (OURS, PEER))
    return Measured(
        least_distance=min(least_distance(ours), least_distance(theirs)),
        sides_apart=max(surface_distance(*pair) for pair in zip(ours, theirs, strict=True)),
    )


def _make_references(weights: Path, folder: Path, octrees: Sequence[int]) -> References:
    folder.mkdir()
    subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks.agent.reference",
            str(weights),
            str(folder),
            *map(str, octrees),
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return {side: read_references(folder / side) for side in (OURS, PEER)}


def _choose_threads(
    folder: Path,
    weights: Path,
    plan: Plan,
    references: References,
    measured: Measured,
    say: Callable[[str], None],
) -> None:
    """Let the peer race against itself, where it has a choice."""
    measured.threads_chosen = plan.threads[0]
    if len(plan.threads) == 1:
        return
    peers = {
        n: Peer(folder / f"peer-{n}", weights, threads=n, quiet_s=plan.quiet_s)
        for n in plan.threads
    }
    try:
        for number in range(4):
            for threads, peer in peers.items():
                tasks = cycle_tasks(SMALL_OCTREE, plan.threads_jobs)
                taken = run_round(peer, tasks, references[PEER], clients=1)
                if number > 0:
                    measured.threads.setdefault(threads, []).append(taken)
                    say(f"peer with {threads} threads: {taken.right_per_s:.2f} models/s")
    finally:
        for peer in peers.values():
            peer.server.end()
    measured.threads_chosen = max(
        measured.threads,
        key=lambda n: statistics.median(one.right_per_s for one in measured.threads[n]),
    )


@dataclass(frozen=True, slots=True)
class Hosting:
    """How both servers are run.

    Attributes:
        folder: For their files.
        weights: Folder of the weights.
        plan: Tells how long the peer may make no model.
        has_peer: Whether the peer takes part.
        threads: Of torch, in ours.
        peer_threads: In the peer.
    """

    folder: Path
    weights: Path
    plan: Plan
    has_peer: bool
    threads: int
    peer_threads: int

    @contextmanager
    def serving(self) -> Iterator[tuple[Ours, Peer | None]]:
        """Start them, and end them after the block."""
        peer = None
        ours = Ours(self.folder / "ours", self.weights, slots=SLOTS, threads=self.threads)
        try:
            if self.has_peer:
                peer = Peer(
                    self.folder / "peer",
                    self.weights,
                    threads=self.peer_threads,
                    quiet_s=self.plan.quiet_s,
                )
            yield ours, peer
        finally:
            ours.server.end()
            if peer is not None:
                peer.server.end()


def _count_files(ours: Ours, peer: Peer | None) -> dict[str, int]:
    """Count each side's files, apart from the agent's store."""
    sides = {OURS: ours.server} | ({PEER: peer.server} if peer is not None else {})
    return {name: server.files() for name, server in sides.items()}


def _compare_files(
    before: Mapping[str, int], after: Mapping[str, int], measured: Measured
) -> dict[str, Remains]:
    jobs: Counter[str] = Counter()
    for (_, name), rounds in measured.rounds.items():
        side = PEER if name == BARE_PEER else name
        jobs[side] += sum(sum(one.verdicts.values()) for one in rounds)
    return {name: Remains(jobs[name], before[name], after[name]) for name in before}


def _run_load(
    load: Load,
    ours: Ours,
    peer: Peer | None,
    references: References,
    measured: Measured,
    say: Callable[[str], None],
) -> None:
    """Let the sides take turns; the one that begins changes with each round."""
    sides = [side for side in load.sides if side == OURS or peer is not None]
    tasks = cycle_tasks(load.octree, load.jobs)
    for number in range(load.rounds):
        first = number % len(sides)
        for name in (*sides[first:], *sides[:first]):
            if peer is not None:
                peer.cleans = name == PEER
            taken = run_round(
                ours if name == OURS or peer is None else peer,
                tasks,
                references[OURS if name == OURS else PEER],
                clients=load.clients,
                is_burst=load.is_burst,
                is_polled=load.is_polled,
            )
            measured.rounds.setdefault((load.name, name), []).append(taken)
            say(
                f"{load.name} {number + 1}/{load.rounds} {name}: "
                f"{taken.right_per_s:.2f} models/s, {dict(taken.verdicts)}"
            )


def _weigh(
    ours: Ours,
    plan: Plan,
    references: References,
    measured: Measured,
    say: Callable[[str], None],
) -> None:
    """Read the memory of an agent that has warmed up, after some jobs and after many."""
    done = 0
    for goal in plan.memory_jobs:
        tasks = cycle_tasks(SMALL_OCTREE, goal - done)
        taken = run_round(ours, tasks, references[OURS], clients=SLOTS)
        measured.rounds.setdefault(("memory", OURS), []).append(taken)
        measured.memory_mib[goal] = ours.server.resident_mib()
        done = goal
        say(f"memory after {goal} jobs: {measured.memory_mib[goal]:.0f} MiB")
