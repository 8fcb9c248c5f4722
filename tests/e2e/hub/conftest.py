"""A hub on 127.0.0.1 and its storage on another port, which can be told to misbehave.

What it speaks is what huggingface.co answers: the model's description with sizes and checksums, the
tree, `resolve` with its headers (a redirect to the storage for large files), ranges.
"""

import hashlib
import http.server
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

import huggingface_hub.file_download  # noqa: F401 - it remembers the address it was imported with
import pytest

from tercet.checkpoint import Geometry, save_hugging_face
from tercet.checkpoint.arrays import MemoryCheckpoint
from tercet.text.vocabulary_files import VOCABULARY_FILES

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE_BYTES = 10_000  # from here on a file lies in the storage, as LFS files do


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def git_name(body: bytes) -> str:
    return hashlib.sha1(f"blob {len(body)}\0".encode() + body).hexdigest()


@dataclass
class Request:
    """One that arrived; `sent_bytes` grows while it is answered."""

    server: str  # "hub" or "storage"
    method: str
    path: str
    range: str | None
    token: str | None
    sent_bytes: int = 0


@dataclass
class Hub:
    """One repository, owner/model. The fields below it are the faults to play."""

    files: dict[str, bytes]
    requests: list[Request] = field(default_factory=list)
    refusal: tuple[int, dict[str, str]] | None = None  # of everything
    head_refusal: int | None = None  # of what a file is, with HEAD
    storage_refusals: list[int] = field(default_factory=list)  # of the next requests there
    drop_after: list[int] = field(default_factory=list)  # bytes, of the next answers of the storage
    stall_after: int | None = None  # bytes; then the storage is silent
    corrupt: bool = False  # the storage flips a byte
    lacks: int = 0  # bytes at the end of a file that the storage has not
    adds: bytes = b""  # the storage sends this behind a file
    corrupt_small: bool = False  # the hub itself does, in config.json
    ignores_ranges: bool = False
    announces_checksums: bool = True
    renamed_from: str | None = None
    pause_s: float = 0.0  # between blocks of the storage
    address: str = ""
    storage_address: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def served(self) -> int:
        """Bytes of large files that went out."""
        return sum(each.sent_bytes for each in self.requests)

    def downloads(self) -> list[Request]:
        """What was asked of the storage."""
        return [each for each in self.requests if each.server == "storage" and each.method == "GET"]

    def note(self, request: Request) -> None:
        with self._lock:
            self.requests.append(request)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub
    name: str

    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        headers = self.headers
        self.request_seen = Request(
            self.name, self.command, self.path, headers.get("Range"), headers.get("Authorization")
        )
        self.hub.note(self.request_seen)
        try:
            self.reply()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def reply(self) -> None:
        raise NotImplementedError

    def answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("X-HF-Warning", "test; the hub has something to say")
        for key, value in headers.items():
            self.send_header(key, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


class _Front(_Handler):
    name = "hub"

    def reply(self) -> None:
        hub, path = self.hub, unquote(urlsplit(self.path).path)
        if hub.refusal is not None:
            return self.answer(*hub.refusal)
        old = hub.renamed_from
        if old and re.match(rf"(/api/models)?/{old}(/|$)", path):
            return self.answer(307, {"Location": self.path.replace(old, "owner/model", 1)})
        if found := re.fullmatch(r"/owner/model/resolve/([^/]+)/(.+)", path):
            return self.resolve(found[1], found[2])
        if not re.match(r"/api/models/owner/model(/|$)", path):
            return self.answer(404, {"X-Error-Code": "RepoNotFound"}, b"{}")
        revision = re.search(r"/(?:revision|tree)/([^/]+)", path)
        if revision and revision[1] not in ("main", COMMIT):
            return self.answer(404, {"X-Error-Code": "RevisionNotFound"}, b"{}")
        listing = self.tree() if "/tree/" in path else self.description()
        return self.answer(200, {"Content-Type": "application/json"}, json.dumps(listing).encode())

    def description(self) -> object:
        siblings = []
        for name, body in self.hub.files.items():
            sibling: dict[str, object] = {"rfilename": name}
            if self.hub.announces_checksums:
                sibling |= {"size": len(body), "blobId": git_name(body)}
                if len(body) >= LARGE_BYTES:
                    sibling["lfs"] = {"sha256": sha256(body), "size": len(body), "pointerSize": 134}
            siblings.append(sibling)
        return {"id": "owner/model", "sha": COMMIT, "siblings": siblings}

    def tree(self) -> object:
        entries = []
        for name, body in self.hub.files.items():
            entry: dict[str, object] = {
                "type": "file", "path": name, "size": len(body), "oid": git_name(body),
            }  # fmt: skip
            if len(body) >= LARGE_BYTES:
                entry["lfs"] = {"oid": sha256(body), "size": len(body), "pointerSize": 134}
            entries.append(entry)
        return entries

    def resolve(self, revision: str, name: str) -> None:
        common = {"X-Repo-Commit": COMMIT}
        if self.hub.head_refusal is not None and self.command == "HEAD":
            return self.answer(self.hub.head_refusal, common)
        if revision not in ("main", COMMIT):
            return self.answer(404, {"X-Error-Code": "RevisionNotFound"})
        if name not in self.hub.files:
            return self.answer(404, {**common, "X-Error-Code": "EntryNotFound"})
        body = self.hub.files[name]
        if len(body) >= LARGE_BYTES:
            digest = sha256(body)
            linked = {"X-Linked-ETag": f'"{digest}"', "X-Linked-Size": str(len(body))}
            place = {"Location": f"{self.hub.storage_address}/{digest}?signature=x"}
            return self.answer(302, {**common, **linked, **place})
        sent = body.replace(b"a", b"b") if self.hub.corrupt_small else body
        return self.answer(200, {**common, "ETag": f'"{git_name(body)}"'}, sent)


class _Storage(_Handler):
    name = "storage"

    def reply(self) -> None:
        hub, digest = self.hub, urlsplit(self.path).path.strip("/")
        if hub.storage_refusals:
            return self.answer(hub.storage_refusals.pop(0), {})
        body = next(body for body in hub.files.values() if sha256(body) == digest)
        if hub.corrupt:
            body = body[:-1] + bytes([body[-1] ^ 1])
        body = body[: len(body) - hub.lacks] + hub.adds
        start, status, headers = 0, 200, {}
        if (asked := self.headers.get("Range")) and not hub.ignores_ranges:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                return self.answer(416, {"Content-Range": f"bytes */{len(body)}"})
            span = f"bytes {start}-{len(body) - 1}/{len(body)}"
            status, headers = 206, {"Content-Range": span}
        with hub._lock:
            most = hub.drop_after.pop(0) if hub.drop_after else len(body)
        self.answer(status, {**headers, "Content-Length": str(len(body) - start)})
        if self.command == "HEAD":
            return None
        return self.pour(body[start:][:most], is_cut=most < len(body) - start)

    def pour(self, body: bytes, *, is_cut: bool) -> None:
        for place in range(0, len(body), 65536):
            stall = self.hub.stall_after
            while (
                stall is not None
                and self.request_seen.sent_bytes >= stall
                and self.hub.stall_after is not None
            ):
                time.sleep(0.02)
            block = body[place : place + 65536]
            self.wfile.write(block)
            self.request_seen.sent_bytes += len(block)
            time.sleep(self.hub.pause_s)
        if is_cut:
            self.close_connection = True


@pytest.fixture(scope="session")
def checkpoint_files(
    tmp_path_factory: pytest.TempPathFactory,
    random_checkpoint: Callable[..., MemoryCheckpoint],
    byte_tokenizer_file: Callable[[int], Path],
) -> dict[str, bytes]:
    """A Whisper of random weights, as a repository's files. Its weights take 1.1 MB or more."""
    geometry = Geometry(
        n_mels=80, width=64, encoder_layers=1, encoder_heads=1,
        decoder_layers=1, decoder_heads=1, vocab_size=51865,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("checkpoint")
    save_hugging_face(
        random_checkpoint(geometry), folder, dtype="float16",
        tokenizer_file=byte_tokenizer_file(51865),
    )  # fmt: skip
    # The older files of a vocabulary are large, too; here the weights shall be the only ones.
    for name in VOCABULARY_FILES:
        (folder / name).unlink()
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    others = {"pytorch_model.bin": b"x" * 20_000, "onnx/config.json": b"{}", "README.md": b"-"}
    return {**files, **others}


@pytest.fixture
def hub(checkpoint_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The hub, running, and the one that this process asks."""
    hub = Hub(dict(checkpoint_files))
    servers = []
    for kind in (_Front, _Storage):
        handler = type(kind.__name__, (kind,), {"hub": hub})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
    front, storage = (f"http://127.0.0.1:{server.server_port}" for server in servers)
    hub.address, hub.storage_address = front, storage
    template = front + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", front)
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    yield hub
    hub.stall_after = None
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches, no token, no waiting between tries, no other hub."""
    folder = tmp_path / "hub-cache"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("tercet.hub.transfer.FIRST_WAIT_S", 0.0)
    monkeypatch.setenv("HF_HUB_CACHE", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def weights(checkpoint_files: dict[str, bytes]) -> bytes:
    """The largest file of the repository."""
    return checkpoint_files["model.safetensors"]


@pytest.fixture
def pull(hub: Hub, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """`pull("owner/model")` starts `tercet models pull` in a process of its own."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str, before: tuple[str, ...] = (), **extra: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "HF_ENDPOINT": hub.address, **extra}
        command = [*before, sys.executable, "-m", "tercet.cli.main", "models", "pull", *words]
        process = subprocess.Popen(
            command,
            env=environment,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()
