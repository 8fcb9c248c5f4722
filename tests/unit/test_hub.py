"""Where a model's name leads: paths, data packages, caches, the hub (here a server on loopback)."""

import http.server
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tercet.catalog import KnownModel
from tercet.errors import ModelNotFoundError
from tercet.hub import (
    find_model,
    find_tokenizer,
    holds_model,
    installed_models,
    weight_patterns,
)

COMMIT = "0123456789abcdef0123456789abcdef01234567"
WEIGHTS = b"\x00" * 5000
FILES = {
    "config.json": b"{}",
    "tokenizer.json": b"{}",
    "model.safetensors": WEIGHTS,
    "model.fp32-00001-of-00002.safetensors": b"never",
    "pytorch_model.bin": b"never",
    "flax_model.msgpack": b"never",
    "onnx/config.json": b"never",
    "README.md": b"never",
}


class FakeHub:
    """A hub with one repository, owner/model; `answer` makes it fail with that status instead."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.tokens: list[str | None] = []
        self.answer: tuple[int, dict[str, str]] | None = None
        self.files = dict(FILES)
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *args: object) -> None:
                pass

            def do_HEAD(self) -> None:
                self.do_GET()

            def do_GET(self) -> None:
                hub.requests.append(self.path)
                hub.tokens.append(self.headers.get("Authorization"))
                status, headers, body = hub.reply(self.path)
                self.send_response(status)
                for key, value in headers.items():
                    self.send_header(key, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def reply(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers, body."""
        if self.answer is not None:
            return (*self.answer, b"{}")
        if found := re.match(r"/owner/model/resolve/[^/]+/(.+)", path):
            headers = {"ETag": f'"{found[1]}"', "X-Repo-Commit": COMMIT}
            return 200, headers, self.files[found[1]]
        if not path.startswith("/api/models/owner/model"):
            return 404, {"X-Error-Code": "RepoNotFound"}, b"{}"
        if "/tree/" in path:
            listing: object = [
                {"type": "file", "path": name, "size": len(body), "oid": name}
                for name, body in self.files.items()
            ]
        else:
            siblings = [{"rfilename": name} for name in self.files]
            listing = {"id": "owner/model", "sha": COMMIT, "siblings": siblings}
        return 200, {"Content-Type": "application/json"}, json.dumps(listing).encode()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches and no network: every test starts on a bare machine."""
    folder = tmp_path / "hub-cache"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("tercet.hub.packages.entry_points", lambda group: ())
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def fake_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    hub = FakeHub()
    thread = threading.Thread(target=hub.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.address)
    template = hub.address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    yield hub
    hub.server.shutdown()
    hub.server.server_close()


def write_model(folder: Path, weights: str = "model.safetensors") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text("{}")
    (folder / weights).write_bytes(b"weights")
    return folder


def write_snapshot(cache: Path, repository: str, weights: str = "model.safetensors") -> Path:
    """A cached repository, as huggingface_hub lays it out."""
    root = cache / f"models--{repository.replace('/', '--')}"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text(COMMIT)
    return write_model(root / "snapshots" / COMMIT, weights)


def write_distribution(site: Path, distribution: str, package: str, model: str) -> None:
    """What pip leaves behind for a data package."""
    info = site / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[tercet.models]\n{model} = {package}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the module path whose distributions are the only ones that announce models."""
    import importlib.metadata

    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))

    def only_here(group: str) -> importlib.metadata.EntryPoints:
        return importlib.metadata.EntryPoints(
            entry
            for entry in importlib.metadata.entry_points(group=group)
            if Path(str(entry.dist.locate_file(""))) == folder  # type: ignore[union-attr]
        )

    monkeypatch.setattr("tercet.hub.packages.entry_points", only_here)
    return folder


# Paths


def test_a_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    assert folder == find_model(folder)
    assert folder == find_model(str(folder))


def test_a_file_of_weights_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "tuned.pt").write_bytes(b"")
    assert Path("tuned.pt") == find_model("tuned.pt")


def test_a_home_folder_is_expanded(tmp_path: Path) -> None:
    assert write_model(tmp_path / "mine") == find_model("~/mine")


@pytest.mark.parametrize("missing", ["./nowhere", "/nowhere/at/all", "nowhere.pt", Path("nowhere")])
def test_a_path_that_is_not_there_says_so(missing: str | Path) -> None:
    with pytest.raises(ModelNotFoundError, match="no such file or folder") as caught:
        find_model(missing)
    assert str(missing) in str(caught.value)


def test_an_empty_folder_of_a_models_name_does_not_hide_the_model(
    tmp_path: Path, cache: Path
) -> None:
    (tmp_path / "small").mkdir()
    expected = write_snapshot(cache, "openai/whisper-small")
    assert expected == find_model("small")
    write_model(tmp_path / "small")
    assert Path("small") == find_model("small")


# Which files


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (FILES, ("model.safetensors",)),
        (
            ["model.safetensors.index.json", "pytorch_model.bin"],
            ("model.safetensors.index.json", "model-*-of-*.safetensors"),
        ),
        (["pytorch_model.bin", "model.bin"], ("pytorch_model.bin",)),
        (
            ["pytorch_model.bin.index.json"],
            ("pytorch_model.bin.index.json", "pytorch_model-*-of-*.bin"),
        ),
        (["model.bin", "vocabulary.txt"], ("model.bin",)),
        (["flax_model.msgpack"], ()),
    ],
)
def test_the_best_form_of_the_weights_is_chosen(
    names: list[str], expected: tuple[str, ...]
) -> None:
    assert expected == weight_patterns(names)


def test_a_missing_shard_makes_a_folder_incomplete(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "sharded", "model-00001-of-00002.safetensors")
    index = {
        "weight_map": {
            "a": "model-00001-of-00002.safetensors",
            "b": "model-00002-of-00002.safetensors",
        }
    }
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert not holds_model(folder)
    (folder / "model-00002-of-00002.safetensors").write_bytes(b"")
    assert holds_model(folder)
    (folder / "model.safetensors.index.json").write_text("{ damaged")
    assert not holds_model(folder)


def test_weights_without_their_config_are_not_a_model(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "half")
    assert holds_model(folder)
    (folder / "config.json").unlink()
    assert not holds_model(folder)


def test_an_empty_name_is_not_the_folder_we_are_in(tmp_path: Path) -> None:
    write_model(tmp_path)
    with pytest.raises(ModelNotFoundError, match="no model is called ''"):
        find_model("")


# Data packages


def test_an_installed_data_package_is_found_and_never_imported(site: Path) -> None:
    folder = write_model(site / "boxed_model")
    (folder / "__init__.py").write_text("raise RuntimeError('imported')\n")
    write_distribution(site, "boxed-model", "boxed_model", "boxed")
    assert folder == find_model("boxed")
    assert "boxed_model" not in sys.modules


def test_a_package_inside_a_package_is_found_and_never_imported(site: Path) -> None:
    folder = write_model(site / "company_models" / "meetings")
    (site / "company_models" / "__init__.py").write_text("raise RuntimeError('imported')\n")
    write_distribution(site, "company-models", "company_models.meetings", "meetings")
    assert folder == find_model("meetings")
    assert "company_models" not in sys.modules


def test_a_data_package_comes_before_the_cache(site: Path, cache: Path) -> None:
    write_snapshot(cache, "openai/whisper-base")
    folder = write_model(site / "boxed_base")
    write_distribution(site, "boxed-base", "boxed_base", "base")
    assert folder == find_model("base")
    assert cache in find_model("base", revision="main").parents


def test_two_packages_of_one_name_are_an_error_that_names_both(site: Path) -> None:
    for distribution in ("first-base", "second-base"):
        write_model(site / distribution.replace("-", "_"))
        write_distribution(site, distribution, distribution.replace("-", "_"), "base")
    assert 2 == len(installed_models()["base"])
    with pytest.raises(ModelNotFoundError, match="first-base and second-base") as caught:
        find_model("base")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("leave_folder", [True, False])
def test_a_package_without_its_weights_says_reinstall(site: Path, leave_folder: bool) -> None:
    if leave_folder:
        (site / "hollow_base").mkdir()
    write_distribution(site, "hollow-base", "hollow_base", "base")
    with pytest.raises(ModelNotFoundError, match="force-reinstall hollow-base"):
        find_model("base")


# Caches


def test_a_cached_snapshot_needs_no_hub(cache: Path, fake_hub: FakeHub) -> None:
    expected = write_snapshot(cache, "openai/whisper-large-v3-turbo")
    assert expected == find_model("turbo")
    assert expected == find_model("openai/whisper-large-v3-turbo", offline=True)
    assert [] == fake_hub.requests


def test_what_faster_whisper_cached_is_used(cache: Path) -> None:
    expected = write_snapshot(cache, "Systran/faster-whisper-small", "model.bin")
    assert expected == find_model("small", offline=True)


@pytest.mark.parametrize(
    ("name", "repository"),
    [
        ("turbo", "deepdml/faster-whisper-large-v3-turbo-ct2"),
        ("small", "guillaumekln/faster-whisper-small"),
        ("distil-large-v3", "distil-whisper/distil-large-v3-ct2"),
    ],
)
def test_other_conversions_that_people_have_are_used(
    cache: Path, name: str, repository: str
) -> None:
    expected = write_snapshot(cache, repository, "model.bin")
    assert expected == find_model(name, offline=True)
    assert expected == find_model(repository, offline=True)


@pytest.mark.parametrize("typed", ["openai/whisper-small", "guillaumekln/faster-whisper-small"])
def test_a_hub_id_means_that_repository_and_no_other_copy(cache: Path, typed: str) -> None:
    write_snapshot(cache, "Systran/faster-whisper-small", "model.bin")
    with pytest.raises(ModelNotFoundError, match="not on this machine"):
        find_model(typed, offline=True)


@pytest.mark.parametrize("revision", ["../../elsewhere", "..", ".", "a/../../b"])
def test_a_revision_never_leads_out_of_the_cache(cache: Path, revision: str) -> None:
    folder = write_snapshot(cache, "openai/whisper-small")
    write_model(cache / "elsewhere")
    (folder.parent.parent / "refs" / "b").write_text("../../../elsewhere")
    for asked in (revision, "b"):
        with pytest.raises(ModelNotFoundError, match="not on this machine"):
            find_model("small", revision=asked, offline=True)


@pytest.mark.parametrize(("name", "file"), [("small", "small.pt"), ("turbo", "large-v3-turbo.pt")])
def test_what_openai_whisper_cached_is_used(name: str, file: str, tmp_path: Path) -> None:
    expected = tmp_path / "user-cache" / "whisper" / file
    expected.parent.mkdir(parents=True)
    expected.write_bytes(b"")
    assert expected == find_model(name, offline=True)


def test_an_interrupted_download_is_not_taken_for_a_model(cache: Path) -> None:
    folder = write_snapshot(cache, "openai/whisper-small")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelNotFoundError, match="only partly on this machine"):
        find_model("small", offline=True)


def test_a_revision_is_not_answered_with_somebody_elses_copy(cache: Path) -> None:
    write_snapshot(cache, "Systran/faster-whisper-small", "model.bin")
    with pytest.raises(ModelNotFoundError, match="not on this machine"):
        find_model("small", revision="main", offline=True)


# The hub


def test_a_hub_id_is_fetched_once_without_the_other_formats(
    fake_hub: FakeHub, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = find_model("owner/model")
    expected = {"config.json", "tokenizer.json", "model.safetensors"}
    assert expected == {path.name for path in folder.rglob("*") if path.is_file()}
    assert WEIGHTS == (folder / "model.safetensors").read_bytes()
    asked = len(fake_hub.requests)
    assert folder == find_model("owner/model")
    assert asked == len(fake_hub.requests)
    assert ("", "") == capfd.readouterr()


def test_progress_ends_at_all_bytes(fake_hub: FakeHub) -> None:
    seen: list[tuple[int, int]] = []
    find_model("owner/model", on_progress=lambda done, total: seen.append((done, total)))
    whole = sum(len(FILES[name]) for name in ("config.json", "tokenizer.json", "model.safetensors"))
    assert (whole, whole) == seen[-1]


def test_the_librarys_own_bars_are_off_while_it_fetches_and_back_on_after(
    fake_hub: FakeHub,
) -> None:
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, enable_progress_bars

    enable_progress_bars()
    seen: list[bool] = []
    find_model("owner/model", on_progress=lambda *_: seen.append(are_progress_bars_disabled()))
    assert {True} == set(seen)
    assert not are_progress_bars_disabled()


def test_the_token_is_sent(fake_hub: FakeHub) -> None:
    find_model("owner/model", token="hf_secret")
    assert {"Bearer hf_secret"} == set(fake_hub.tokens)


def test_the_environment_switches_the_hub_off(
    fake_hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelNotFoundError, match="pip install tercet-base"):
        find_model("base")
    with pytest.raises(ModelNotFoundError, match="switched off"):
        find_model("owner/model")
    assert [] == fake_hub.requests


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (404, "RepoNotFound", "no repository owner/model, or it is private"),
        (401, "", "owner/model"),
        (403, "GatedRepo", "gated; ask for access"),
        (404, "RevisionNotFound", "no revision"),
        (500, "", "HTTP 500"),
    ],
)
def test_each_refusal_of_the_hub_is_one_line(
    fake_hub: FakeHub, status: int, code: str, expected: str
) -> None:
    fake_hub.answer = (status, {"X-Error-Code": code} if code else {})
    with pytest.raises(ModelNotFoundError, match=re.escape(expected)) as caught:
        find_model("owner/model")
    assert "\n" not in str(caught.value)


def test_no_network_is_one_line_that_says_what_to_do() -> None:
    with pytest.raises(ModelNotFoundError, match="cannot be reached") as caught:
        find_model("base")
    assert "pip install tercet-base" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_repository_without_weights_says_what_is_read(fake_hub: FakeHub) -> None:
    fake_hub.files = {"config.json": b"{}", "flax_model.msgpack": b""}
    with pytest.raises(ModelNotFoundError, match="has no weights that Tercet reads"):
        find_model("owner/model")


# Tokenizers


@pytest.mark.parametrize(
    ("vocab_size", "repository"),
    [
        (51864, "openai/whisper-small.en"),
        (51865, "openai/whisper-medium"),
        (51865, "Systran/faster-whisper-large-v2"),
        (51866, "openai/whisper-large-v3-turbo"),
    ],
)
def test_a_cached_sibling_lends_its_tokenizer(
    vocab_size: int, repository: str, cache: Path
) -> None:
    expected = write_snapshot(cache, repository) / "tokenizer.json"
    expected.write_text("{}")
    assert expected == find_tokenizer(vocab_size, offline=True)
    with pytest.raises(ModelNotFoundError, match="is not on this machine"):
        find_tokenizer(51866 if vocab_size < 51866 else 51864, offline=True)


def test_an_installed_base_lends_its_tokenizer(site: Path) -> None:
    folder = write_model(site / "boxed_base")
    write_distribution(site, "boxed-base", "boxed_base", "base")
    (folder / "tokenizer.json").write_text("{}")
    assert folder / "tokenizer.json" == find_tokenizer(51865)


def test_a_tokenizer_is_fetched_alone_and_once(
    fake_hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = KnownModel(
        name="mine",
        repository="owner/model",
        ctranslate2="a/b",
        parameters_m=1,
        download_mb=2,
        languages=99,
    )
    monkeypatch.setattr("tercet.hub.find.CATALOG", {"mine": row})
    monkeypatch.setattr(KnownModel, "openai_vocab_size", 51865)
    found = find_tokenizer(51865)
    assert FILES["tokenizer.json"] == found.read_bytes()
    assert ["tokenizer.json"] == [path.name for path in found.parent.iterdir()]
    assert found == find_tokenizer(51865, offline=True)


@pytest.mark.parametrize("vocab_size", [51865, 7])
def test_a_tokenizer_that_cannot_be_had_is_one_line(vocab_size: int) -> None:
    with pytest.raises(ModelNotFoundError, match=r"tokenizer\.json .*beside") as caught:
        find_tokenizer(vocab_size)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("smal", "'small'"),
        ("turb0", "'turbo'"),
        ("zzzz", "'base'"),
        ("a/b/c", "a hub id"),
        ("", "no model is called ''"),
        ("x" * 5000, "no model"),
        ("~nobody-of-this-name/x", "no model"),
        ("nul\0", "no model"),
    ],
)
def test_an_unknown_name_is_answered_with_near_ones(name: str, expected: str) -> None:
    with pytest.raises(ModelNotFoundError, match=expected):
        find_model(name)


def test_an_installed_name_is_suggested(site: Path) -> None:
    write_distribution(site, "company-models", "company_models", "meetings")
    with pytest.raises(ModelNotFoundError, match="'meetings'"):
        find_model("meeting")


def test_importing_the_module_leaves_the_hub_library_alone() -> None:
    program = "import sys, tercet.hub; print('huggingface_hub' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "HOME": os.environ.get("HOME", "")},
    )
    assert "False" == run.stdout.strip()
