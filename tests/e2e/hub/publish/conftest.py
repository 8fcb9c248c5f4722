"""A hub that takes: repositories and branches on 127.0.0.1, and the storage that large files go to.

What it speaks is the hub's protocol as huggingface_hub 2.4 uses it: create, branch, validate-yaml, preupload,
Git LFS's batch with an upload and a verification, the commit as lines of JSON; and what downloads ask.
"""

import base64
import hashlib
import http.server
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

TOKEN = "hf_test"


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def git_name(body: bytes) -> str:
    return hashlib.sha1(f"blob {len(body)}\0".encode() + body).hexdigest()


@dataclass
class Branch:
    commit: str
    files: dict[str, bytes] = field(default_factory=dict)
    large: set[str] = field(default_factory=set)  # names of those in the storage


@dataclass
class Repository:
    private: bool
    branches: dict[str, Branch]


@dataclass
class TakingHub:
    """What was sent, and the faults to play."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    storage: dict[str, bytes] = field(default_factory=dict)
    commits: list[dict[str, Any]] = field(default_factory=list)  # header and names of each
    seen: list[str] = field(default_factory=list)  # "POST /api/..."
    refusals: dict[str, tuple[int, dict[str, str]]] = field(
        default_factory=dict
    )  # by a part of the path
    corrupts: str = ""  # a file of this name is another one once it is committed
    part_bytes: int = 0  # large files come in parts of this size; 0: whole
    parts: dict[str, dict[int, bytes]] = field(default_factory=dict)
    before_storing: Callable[[], None] = lambda: None  # called when a large file arrives
    address: str = ""

    def files(self, repository: str = "owner/new", branch: str = "main") -> dict[str, bytes]:
        """Without the hub's own."""
        found = self.repositories[repository].branches[branch].files
        return {name: body for name, body in found.items() if name != ".gitattributes"}


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: TakingHub

    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.reply()

    def do_GET(self) -> None:
        self.reply()

    def do_POST(self) -> None:
        self.reply()

    def do_PUT(self) -> None:
        self.reply()

    def answer(
        self, status: int, body: object = None, headers: dict[str, str] | None = None
    ) -> None:
        sent = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(sent)

    def reply(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hub.seen.append(f"{self.command} {path}")
        for part, (status, headers) in self.hub.refusals.items():
            if part in f"{self.command} {path}":
                return self.answer(status, {"error": "so it is"}, headers)
        is_storage = path.startswith("/storage/")
        if not is_storage and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.answer(401, {"error": "Invalid credentials"})
        for pattern, method in (
            (r"/api/repos/create", self.create),
            (r"/api/validate-yaml", lambda: self.answer(200, {"errors": [], "warnings": []})),
            (r"/storage/(\w+)", self.store),
            (r"/storage/(\w+)/(\d+|whole)", self.part),
            (r"/([\w.-]+/[\w.-]+)\.git/info/lfs/objects/(batch|verify)", self.large),
            (r"/api/models/([\w.-]+/[\w.-]+)/(branch|preupload|commit)/(.+)", self.change),
            (r"/api/models/([\w.-]+/[\w.-]+)(?:/(revision|tree)/([^/]+))?/?", self.describe),
            (r"/([\w.-]+/[\w.-]+)/resolve/([^/]+)/(.+)", self.resolve),
        ):
            if found := re.fullmatch(pattern, path):
                return method(*found.groups())
        return self.answer(404)

    def create(self) -> None:
        asked = json.loads(self.body)
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.hub.repositories:
            return self.answer(409, {"error": "You already created this model repo"})
        private = asked.get("visibility") == "private" or bool(asked.get("private"))
        start = Branch("0" * 40, {".gitattributes": b"*.safetensors filter=lfs\n"})
        self.hub.repositories[name] = Repository(private, {"main": start})
        return self.answer(200, {"url": f"{self.hub.address}/{name}"})

    def store(self, oid: str) -> None:
        if self.command == "PUT":
            self.hub.before_storing()
            if sha256(self.body) != oid:
                return self.answer(400, {"error": "BadDigest"})
            self.hub.storage[oid] = self.body
            return self.answer(200)
        return self.answer(200, self.hub.storage[oid])

    def part(self, oid: str, number: str) -> None:
        """One part of a file, or the word that all have come."""
        parts = self.hub.parts.setdefault(oid, {})
        if number != "whole":
            parts[int(number)] = self.body
            return self.answer(200, None, {"ETag": f'"{sha256(self.body)}"'})
        told = [each["partNumber"] for each in json.loads(self.body)["parts"]]
        self.hub.storage[oid] = b"".join(parts[each] for each in told)
        return self.answer(200)

    def large(self, repository: str, action: str) -> None:
        asked = json.loads(self.body)
        if action == "verify":
            return self.answer(200 if asked["oid"] in self.hub.storage else 404)
        objects = []
        for each in asked["objects"]:
            place = f"{self.hub.address}/storage/{each['oid']}"
            verify = f"{self.hub.address}/{repository}.git/info/lfs/objects/verify"
            upload: dict[str, Any] = {"href": place}
            if size := self.hub.part_bytes:
                numbers = range(1, -(-each["size"] // size) + 1)
                urls = {f"{number:05d}": f"{place}/{number}" for number in numbers}
                upload = {"href": f"{place}/whole", "header": {"chunk_size": str(size), **urls}}
            actions = {"upload": upload, "verify": {"href": verify}}
            is_there = each["oid"] in self.hub.storage
            objects.append({**each} if is_there else {**each, "actions": actions})
        return self.answer(200, {"transfer": "basic", "objects": objects})

    def change(self, repository: str, action: str, revision: str) -> None:
        found = self.hub.repositories.get(repository)
        if found is None:
            return self.answer(404, None, {"X-Error-Code": "RepoNotFound"})
        if action == "branch":
            main = found.branches["main"]
            found.branches[revision] = Branch(main.commit, dict(main.files), set(main.large))
            return self.answer(200)
        if action == "preupload":
            files = [
                {
                    "path": each["path"],
                    "uploadMode": "lfs"
                    if each["path"].endswith((".safetensors", ".bin"))
                    else "regular",
                    "shouldIgnore": False,
                }
                for each in json.loads(self.body)["files"]
            ]
            return self.answer(200, {"files": files})
        return self.commit(repository, found.branches[revision])

    def commit(self, repository: str, branch: Branch) -> None:
        lines = [json.loads(line) for line in self.body.splitlines()]
        header = lines[0]["value"]
        if header.get("parentCommit", branch.commit) != branch.commit:
            return self.answer(412, {"error": "A commit has happened since"})
        names = []
        for line in lines[1:]:
            value = line["value"]
            names.append(value["path"])
            if line["key"] == "lfsFile":
                branch.large.add(value["path"])
                branch.files[value["path"]] = self.hub.storage[value["oid"]]
            else:
                branch.files[value["path"]] = base64.b64decode(value["content"])
            if value["path"] == self.hub.corrupts:
                branch.files[value["path"]] += b" "
        self.hub.commits.append({**header, "names": names})
        branch.commit = hashlib.sha1(str(len(self.hub.commits)).encode()).hexdigest()
        url = f"{self.hub.address}/{repository}/commit/{branch.commit}"
        return self.answer(
            200, {"commitUrl": url, "commitOid": branch.commit, "pullRequestUrl": None}
        )

    def branch_of(self, found: Repository, revision: str | None) -> Branch | None:
        if revision is None:
            return found.branches["main"]
        by_commit = {each.commit: each for each in found.branches.values()}
        return found.branches.get(revision) or by_commit.get(revision)

    def describe(self, repository: str, kind: str | None, revision: str | None) -> None:
        found = self.hub.repositories.get(repository)
        if found is None:
            return self.answer(404, None, {"X-Error-Code": "RepoNotFound"})
        branch = self.branch_of(found, revision)
        if branch is None:
            return self.answer(404, None, {"X-Error-Code": "RevisionNotFound"})
        siblings = []
        for name, body in branch.files.items():
            sibling: dict[str, object] = {
                "rfilename": name,
                "size": len(body),
                "blobId": git_name(body),
            }
            if name in branch.large:
                sibling["lfs"] = {"sha256": sha256(body), "size": len(body), "pointerSize": 134}
            siblings.append(sibling)
        if kind == "tree":
            tree = [
                {
                    "type": "file",
                    "path": each["rfilename"],
                    "size": each["size"],
                    "oid": each["blobId"],
                }
                for each in siblings
            ]
            return self.answer(200, tree)
        about = {"id": repository, "sha": branch.commit, "private": found.private}
        return self.answer(200, {**about, "siblings": siblings})

    def resolve(self, repository: str, revision: str, name: str) -> None:
        branch = self.branch_of(self.hub.repositories[repository], revision)
        assert branch is not None
        body = branch.files[name]
        common = {"X-Repo-Commit": branch.commit}
        if name not in branch.large:
            return self.answer(200, body, {**common, "ETag": f'"{git_name(body)}"'})
        linked = {"X-Linked-ETag": f'"{sha256(body)}"', "X-Linked-Size": str(len(body))}
        # Another host, as storages have: huggingface_hub follows redirects within one host itself.
        elsewhere = self.hub.address.replace("127.0.0.1", "localhost")
        place = {"Location": f"{elsewhere}/storage/{sha256(body)}"}
        return self.answer(302, None, {**common, **linked, **place})


@pytest.fixture
def taking(monkeypatch: pytest.MonkeyPatch) -> Iterator[TakingHub]:
    """The hub, running, the one that this process asks, with a token that it knows."""
    hub = TakingHub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    hub.address = f"http://127.0.0.1:{server.server_port}"
    template = hub.address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.address)
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield hub
    server.shutdown()
    server.server_close()


@pytest.fixture
def student(checkpoint_files: dict[str, bytes], tmp_path: Path) -> Path:
    """A whole model's folder, with a training run's litter in it."""
    folder = tmp_path / "student"
    folder.mkdir()
    for name, body in checkpoint_files.items():
        if "/" not in name and name != "pytorch_model.bin":
            (folder / name).write_bytes(body)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# A student\n")
    (folder / "report.json").write_text("{}")
    (folder / "optimizer.pt").write_bytes(b"x")
    (folder / ".env").write_text("SECRET=1")
    return folder
