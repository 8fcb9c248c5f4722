"""Promises about the whole repository: versions agree, links lead somewhere, no local paths."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest

import tercet

TEXT = {".md", ".py", ".toml", ".txt", ".cff", ".json", ".jsonl", ".yml", ".cfg", ".sh", ""}
# Written in pieces, so that this file does not hold what it looks for.
FORBIDDEN = re.compile(
    "|".join(
        [
            r"(?<![\w.~-])/" + r"(work|root|opt/pypi)\b",
            r"\b(pypi" + r"\.org|pythonhosted" + r"\.org|npmjs" + r"\.org|deb\.debian" + r"\.org)",
            r"\b(index|extra-index)" + r"-url\b",
        ]
    )
)
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")
MEGABYTE = 1_000_000


def read(path: Path) -> str | None:
    """The text of a text file, None for any other."""
    if path.suffix not in TEXT:
        return None
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def test_no_file_holds_a_local_path_or_a_registrys_host(
    tracked_files: list[Path], repository: Path
) -> None:
    found = []
    for path in tracked_files:
        if path.stat().st_size < MEGABYTE and (text := read(path)) is not None:
            hits = FORBIDDEN.finditer(text)
            found += [f"{path.relative_to(repository)}: {hit.group()}" for hit in hits]
    assert [] == found


@pytest.mark.parametrize(
    "text",
    ["see /" + "work/main/x.py", "from pypi" + ".org", "cd /" + "root", "--index" + "-url x"],
)
def test_a_forbidden_word_is_caught(text: str) -> None:
    assert FORBIDDEN.search(text)


@pytest.mark.parametrize("text", ["./work/x", "https://host/work", "src/worker", "homework/root"])
def test_an_innocent_word_is_not_caught(text: str) -> None:
    assert not FORBIDDEN.search(text)


def test_every_relative_link_leads_to_a_file(tracked_files: list[Path], repository: Path) -> None:
    broken = []
    for path in tracked_files:
        if path.suffix == ".md":
            for target in LINK.findall(path.read_text(encoding="utf-8")):
                if not (path.parent / target).exists():
                    broken.append(f"{path.relative_to(repository)}: {target}")
    assert [] == broken


def test_every_file_that_the_architecture_names_is_there(repository: Path) -> None:
    text = (repository / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = re.findall(r"`([\w/]+(?:\.py|\.md|\.txt|/\w*))`", text)
    roots = (repository, repository / "src" / "tercet")
    missing = [name for name in named if not any((root / name).exists() for root in roots)]
    assert len(named) > 10
    assert [] == missing


def changelog_version(repository: Path) -> str:
    """The newest version in CHANGELOG.md."""
    text = (repository / "CHANGELOG.md").read_text(encoding="utf-8")
    found = re.search(r"^## \[?(\d+\.\d+\.\d+)", text, re.MULTILINE)
    assert found, "CHANGELOG.md has no '## [x.y.z]' heading"
    return found[1]


def test_every_distribution_has_the_changelogs_version(repository: Path) -> None:
    files = [repository / "pyproject.toml", *sorted(repository.glob("models/*/pyproject.toml"))]
    versions = {
        str(file.relative_to(repository)): tomllib.loads(file.read_text())["project"]["version"]
        for file in files
    }
    expected = changelog_version(repository)
    assert dict.fromkeys(versions, expected) == versions
    assert 2 <= len(versions)


def test_the_installed_version_and_the_citation_are_the_changelogs(repository: Path) -> None:
    expected = changelog_version(repository)
    assert expected == importlib.metadata.version("tercet")
    assert expected == tercet.__version__
    citation = (repository / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(rf"^version: {re.escape(expected)}$", citation, re.MULTILINE)


def test_data_packages_announce_themselves_and_depend_on_nothing(repository: Path) -> None:
    for file in repository.glob("models/*/pyproject.toml"):
        project = tomllib.loads(file.read_text())["project"]
        assert [] == project.get("dependencies", [])
        assert {file.parent.name} == set(project["entry-points"]["tercet.models"])


def test_torch_is_pinned_for_development_and_never_required(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    assert [] == [need for need in project["dependencies"] if need.startswith("torch")]
    assert "\ntorch==" in (repository / "constraints.txt").read_text()
