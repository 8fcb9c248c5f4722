"""`TERCET_REQUIRE` turns a skip for want of something into a failure."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
def test_needs_the_data(data_dir):
    pass

def test_needs_the_weights(genuine_base):
    pass
"""


@pytest.fixture
def suite(tmp_path: Path, repository: Path) -> Path:
    """A suite of two tests, on a machine that has neither data nor weights."""
    shutil.copy(repository / "tests" / "conftest.py", tmp_path)
    (tmp_path / "test_two.py").write_text(TESTS)
    return tmp_path


def summary(suite: Path, require: str) -> tuple[int, str]:
    """Exit status and last line of that suite's run."""
    environment = {key: value for key, value in os.environ.items() if key != "TERCET_WHISPER_BASE"}
    environment |= {"TERCET_DATA": str(suite / "nowhere"), "TERCET_REQUIRE": require}
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(suite)],
        cwd=suite,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return run.returncode, run.stdout.splitlines()[-1]


def test_what_is_not_required_is_skipped(suite: Path) -> None:
    status, line = summary(suite, "")
    assert (0, True) == (status, "2 skipped" in line)


@pytest.mark.parametrize("require", ["shared", "chromium, shared"])
def test_what_is_required_fails_and_the_rest_is_skipped(suite: Path, require: str) -> None:
    status, line = summary(suite, require)
    assert (1, True, True) == (status, "1 error" in line, "1 skipped" in line)


def test_all_that_is_required_fails(suite: Path) -> None:
    status, line = summary(suite, "shared,whisper-base")
    assert (1, True) == (status, "2 errors" in line)
