"""A hub on this machine, as far as downloads ask: a repository's list, and its files."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "THUDM/glm-4-nano-chat"


class FakeHub:
    """Serves the files of a folder as the one repository; `sizes` are told instead of the files' own."""

    def __init__(self, folder: Path, sizes: dict[str, int] | None = None) -> None:
        self.folder, self.sizes, self.given = folder, sizes or {}, []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._file(send=False)

    def do_GET(self) -> None:
        if self.path == "/api/whoami-v2":
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            return self._json({"name": "ada", "orgs": [{"name": "engines"}], "auth": {"accessToken": {"role": token}}})
        if self.path.startswith(f"/api/models/{REPOSITORY}"):
            return self._json({"id": REPOSITORY, "sha": COMMIT, "siblings": self._siblings()})
        if self.path.startswith("/api/models/"):
            return self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        return self._file(send=True)

    def _siblings(self) -> list[dict[str, object]]:
        return [{"rfilename": file.name, "size": self.hub.sizes.get(file.name, file.stat().st_size)}
                for file in sorted(self.hub.folder.iterdir())]  # fmt: skip

    def _file(self, send: bool) -> None:
        file = self.hub.folder / self.path.rpartition("/")[2]
        if not file.is_file():
            return self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
        content = file.read_bytes()
        if send:
            self.hub.given.append(file.name)
        tag = f'"{hashlib.sha1(content).hexdigest()}"'
        return self._send(200, content, {"ETag": tag, "X-Repo-Commit": COMMIT}, body=send)

    def _json(self, data: object) -> None:
        self._send(200, json.dumps(data).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, content: bytes, headers: dict[str, str], body: bool = True) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)
