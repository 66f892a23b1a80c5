"""The local cloud as a whole: brought up, broken and taken down, with real processes."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.parse

import psutil
import pytest
from azure.core.exceptions import ResourceExistsError
from azure.mgmt.compute import ComputeManagementClient
from azure.storage.blob import BlobServiceClient

from localcloud.blueprint import CONTAINERS, ROOT, SUBSCRIPTION_ID
from localcloud.component import ComponentError
from localcloud.https import open_session
from localcloud.leash import is_alive
from localcloud.stack import LocalVm, Stack, StackError

pytestmark = pytest.mark.stack

# Takes the arguments of the Functions host, and answers with what its environment says.
HOST = """
import json, os, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"pid": os.getpid(), "environ": dict(os.environ)}).encode()
        self.send_response(200 if self.path == "/api/health" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

port = int(sys.argv[sys.argv.index("--port") + 1])
ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""
AGENT = (sys.executable, "-c", "import time; time.sleep(600)")
VM = LocalVm(boot_s=0.2, deallocate_s=0.2, restart_agent_after_s=None)


@pytest.fixture(name="host_command")
def _host_command(tmp_path):
    """A Functions host that only says what it was told."""
    script = tmp_path / "host.py"
    script.write_text(HOST)
    return (sys.executable, str(script))


@pytest.fixture(name="make_stack")
def _make_stack(tmp_path, host_command):
    """Return a function that describes a local cloud in the test's folder."""

    def make_stack(**changes):
        given = {"vms": (VM,), "agent_command": AGENT, "host_command": host_command}
        return Stack(tmp_path, tmp_path / "stack", **(given | changes))

    return make_stack


def ask_app(stack):
    with open_session(stack.bundle) as session:
        return session.get(stack.urls.app + "/api/health", timeout=5).json()


def start_vm(stack):
    with ComputeManagementClient(
        stack.credential(),
        SUBSCRIPTION_ID,
        base_url=stack.urls.arm,
        connection_verify=str(stack.bundle),
        polling_interval=0.1,
    ) as client:
        client.virtual_machines.begin_start(VM.resource_group, VM.name).result()


def is_listening(url):
    parts = urllib.parse.urlsplit(url)
    with socket.socket() as probe:
        return probe.connect_ex((parts.hostname, parts.port)) == 0


def all_urls(urls):
    return [urls.app, urls.arm, urls.identity, urls.blob, urls.table]


class TestStack:
    def test_is_all_there_inside_and_all_gone_afterwards(self, make_stack, wait_until):
        with make_stack(app_environ={"IDLE_WINDOW_S": "7"}) as stack:
            told = ask_app(stack)["environ"]
            start_vm(stack)
            agent = psutil.Process(wait_until(lambda: stack.meter()[VM.name]["agent_pid"]))
            components = [psutil.Process(pid) for pid in stack.pids.values()]
            assert all(is_listening(url) for url in all_urls(stack.urls))

        assert not any(is_alive(process) for process in [agent, *components])
        assert not any(is_listening(url) for url in all_urls(stack.urls))
        assert told["IDLE_WINDOW_S"] == "7"
        assert told["ARM_URL"] == stack.urls.arm
        assert told["GPU_AGENT_TOKEN"] == stack.agent_token
        (listed,) = json.loads(told["GPU_VMS"])
        assert listed["agent_url"] == stack.urls.agents[VM.name]

    def test_has_the_containers_that_the_app_expects(self, make_stack):
        with (
            make_stack() as stack,
            BlobServiceClient(
                stack.urls.blob, stack.credential(), connection_verify=str(stack.bundle)
            ) as blobs,
        ):
            for container in CONTAINERS:
                with pytest.raises(ResourceExistsError):
                    blobs.create_container(container)

    def test_keeps_what_it_was_told_to_keep(self, make_stack):
        for run in range(2):
            with (
                make_stack(keeps_storage=True) as stack,
                BlobServiceClient(
                    stack.urls.blob, stack.credential(), connection_verify=str(stack.bundle)
                ) as blobs,
            ):
                blob = blobs.get_blob_client("jobs", "kept")
                if run == 0:
                    blob.upload_blob(b"kept")
                assert blob.download_blob().readall() == b"kept"

    def test_survives_what_is_killed_inside(self, make_stack, wait_until):
        with make_stack() as stack:
            start_vm(stack)
            agent_pid = wait_until(lambda: stack.meter()[VM.name]["agent_pid"])
            host_pid = ask_app(stack)["pid"]

            stack.kill_functions_host()
            stack.kill_arm()
            with pytest.raises(ComponentError, match="exit code -9"):
                stack.check()
            stack.start_arm()
            stack.start_functions_host()

            stack.check()
            assert ask_app(stack)["pid"] != host_pid
            assert stack.meter()[VM.name]["agent_pid"] == agent_pid
            stack.kill_agent(VM.name)
            wait_until(lambda: stack.meter()[VM.name]["agent_pid"] is None)
            assert stack.meter()[VM.name]["power_state"] == "running"

    def test_orders_and_clears_faults(self, make_stack):
        with make_stack() as stack:
            stack.fault("no_capacity", vm=VM.name, count=1)

            with pytest.raises(Exception, match="Allocation failed"):
                start_vm(stack)

            stack.fault("no_capacity", vm=VM.name)
            stack.clear_faults()
            start_vm(stack)

    def test_is_alone_in_its_folder(self, make_stack):
        with make_stack() as stack:
            with pytest.raises(StackError, match="another local cloud"):
                make_stack().start()

            stack.check()

    def test_names_the_component_that_fails_and_shows_its_last_words(self, make_stack):
        stack = make_stack(
            host_command=(sys.executable, "-c", "import sys; sys.exit('no such app')")
        )

        with pytest.raises(ComponentError, match=r"(?s)functions_host ended.*no such app"):
            stack.start()

        assert not any(is_listening(url) for url in all_urls(stack.urls))
        assert set(stack.pids.values()) == {None}


OWNER = """
import json, sys, time
from pathlib import Path
from localcloud.stack import LocalVm, Stack

folder, host = Path(sys.argv[1]), [sys.executable, sys.argv[2]]
stack = Stack(folder, folder / "stack", vms=[LocalVm(boot_s=0.1, restart_agent_after_s=None)],
              agent_command=[sys.executable, "-c", "import time; time.sleep(600)"],
              host_command=host)
print(json.dumps([stack.urls.app, stack.urls.arm, stack.urls.blob]), flush=True)
try:
    with stack:
        print(json.dumps(stack.pids), flush=True)
        time.sleep(600)
except KeyboardInterrupt:
    sys.exit(130)
"""


class TestOwner:
    @pytest.fixture(name="owner")
    def _owner(self, tmp_path, host_command):
        """A process that holds a local cloud."""
        with subprocess.Popen(
            [sys.executable, "-c", OWNER, str(tmp_path), host_command[1]],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            start_new_session=True,
        ) as owner:
            yield owner
            if owner.poll() is None:
                owner.kill()

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
    def test_takes_everything_along_however_it_ends(self, owner, number, wait_until):
        urls = json.loads(owner.stdout.readline())
        pids = json.loads(owner.stdout.readline()).values()
        processes = [psutil.Process(pid) for pid in pids]

        os.kill(owner.pid, number)

        owner.wait(30)
        wait_until(lambda: not any(is_alive(process) for process in processes))
        wait_until(lambda: not any(is_listening(url) for url in urls))

    def test_can_be_interrupted_while_it_starts(self, owner, tmp_path, wait_until):
        urls = json.loads(owner.stdout.readline())
        wait_until(lambda: is_listening(urls[1]))

        os.kill(owner.pid, signal.SIGINT)

        assert owner.wait(30) == 130
        assert not any(is_listening(url) for url in urls)
