"""Azure as a VM meets it: instance metadata over http, ARM and Key Vault over https."""

import json
import ssl
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

RESOURCE_ID = (
    "/subscriptions/sub/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/gpu-1"
)
TOKEN = "a-token-that-no-log-may-show"


@dataclass
class Call:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]


@dataclass
class Answer:
    """What is answered, a text as it is; `status` 0 hangs up instead."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


class FakeAzure:
    """Two servers. ARM gives `answers` in their order, then 202 for ever.

    Attributes:
        calls: What ARM was asked to do; the switch's look around at its start is left out.
        imds_calls: What the metadata service was asked.
        answers: For ARM, used up.
        imds_answers: By the first words of a path, instead of the right one.
        secrets: What Key Vault holds, by name; it answers where ARM does.
        vault_answers: For Key Vault, used up before it gives a secret.
    """

    def __init__(self, *, chain: Path, key: Path) -> None:
        self.calls: list[Call] = []
        self.imds_calls: list[Call] = []
        self.answers: list[Answer] = []
        self.imds_answers: dict[str, Answer] = {}
        self.secrets: dict[str, str] = {}
        self.vault_answers: list[Answer] = []
        self._arm = self._serve(self._answer_arm)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain, key)
        self._arm.socket = context.wrap_socket(self._arm.socket, server_side=True)
        self._imds = self._serve(self._answer_imds)
        self.arm_url = f"https://127.0.0.1:{self._arm.server_port}"
        self.imds_url = f"http://127.0.0.1:{self._imds.server_port}"
        for server in (self._arm, self._imds):
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        for server in (self._arm, self._imds):
            server.shutdown()
            server.server_close()

    def _answer_arm(self, call: Call) -> Answer:
        if call.path.startswith("/secrets/"):
            return self._answer_vault(call)
        if call.method == "GET":
            return Answer(404)
        self.calls.append(call)
        return self.answers.pop(0) if self.answers else Answer(202)

    def _answer_vault(self, call: Call) -> Answer:
        if call.headers.get("Authorization") != f"Bearer {TOKEN}":
            # The client insists on a resource of which the vault's own host is a part.
            resource = f"https://{self.arm_url.rpartition('/')[2].removeprefix('127.')}"
            challenge = f'Bearer authorization="https://login.invalid/t", resource="{resource}"'
            return Answer(401, headers={"WWW-Authenticate": challenge})
        if self.vault_answers:
            return self.vault_answers.pop(0)
        name = call.path.partition("?")[0].split("/")[2]
        if name not in self.secrets:
            return Answer(404, {"error": {"code": "SecretNotFound", "message": "no"}})
        url = f"{self.arm_url}/secrets/{name}/{'0' * 32}"
        return Answer(200, {"id": url, "value": self.secrets[name], "attributes": {}})

    def _answer_imds(self, call: Call) -> Answer:
        self.imds_calls.append(call)
        path = call.path.removeprefix("/metadata/")
        for start, answer in self.imds_answers.items():
            if path.startswith(start):
                return answer
        if path.startswith("instance"):
            return Answer(200, {"compute": {"resourceId": RESOURCE_ID}})
        token = {"access_token": TOKEN, "token_type": "Bearer", "expires_in": "86400"}
        return Answer(200, {**token, "resource": "https://any.invalid"})

    def _serve(self, answer_call) -> ThreadingHTTPServer:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._reply()

            def do_POST(self) -> None:
                self._reply()

            def _reply(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                answer = answer_call(Call(self.command, self.path, dict(self.headers)))
                if not answer.status:
                    self.close_connection = True
                    return
                is_text = isinstance(answer.body, str)
                text = answer.body if is_text else json.dumps(answer.body)
                body = b"" if answer.body is None else text.encode()
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Content-Type", "text/plain" if is_text else "application/json")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        return server
