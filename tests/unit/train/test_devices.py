"""Several devices: two processes on the CPU, as Lightning's DDP starts them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

torch = pytest.importorskip("torch")

TOY = Path(__file__).parent / "toy_run.py"


def run(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(TOY), str(folder), *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.parametrize("summed", ["false", "true"])
def test_two_devices_train_what_one_trains(toy: ModuleType, tmp_path: Path, summed: str) -> None:
    """Also where a loss is a sum: of what counts, there is more on one device than on the other."""
    both_say = ("dropout=0.0", f"summed={summed}", "before=true")
    alone, _ = toy.toy_fit(tmp_path / "one", *both_say)
    two = (*both_say, "loop.devices=2", "loop.accelerator=cpu")
    done = run(tmp_path / "two", *two)
    assert (0, "") == (done.returncode, done.stderr)
    states = [
        torch.load(tmp_path / name / "checkpoints/last.ckpt", weights_only=True)
        for name in ("one", "two")
    ]
    assert [1, 2] == [len(state["random"]) for state in states]
    for name in ("net.0.weight", "net.3.bias"):
        one, both = (state["task"][name] for state in states)
        assert torch.allclose(one, both, atol=1e-6)
    lines = (tmp_path / "two/metrics.jsonl").read_text().splitlines()
    figures = [json.loads(line) for line in lines]
    ours = map(json.loads, (tmp_path / "one/metrics.jsonl").read_text().splitlines())
    logged = [[row["loss"] for row in rows if "loss" in row] for rows in (ours, figures)]
    assert logged[0] == pytest.approx(logged[1], rel=1e-4)
    valid = [row["valid/loss"] for row in figures if "valid/loss" in row]
    assert 3 == len(valid)
    start = next(row for row in figures if "before/loss" in row)
    told = {name.removeprefix("before/"): value for name, value in start.items() if "/" in name}
    assert {"loss", "loss/sum/above", "loss/sum/below"} == set(told)
    assert alone.before == pytest.approx(told, rel=1e-4)
    assert alone.metrics["loss"] == pytest.approx(min(valid), rel=1e-4)
    assert "result 12 None\n" * 2 == "".join(
        line + "\n" for line in done.stdout.splitlines() if line.startswith("result")
    )


def test_an_error_of_one_process_ends_them_all(tmp_path: Path) -> None:
    words = ("loop.devices=2", "loop.accelerator=cpu")
    done = run(tmp_path / "run", *words, "--resume")
    assert 1 == done.returncode
    assert "holds no run to resume" in done.stderr.splitlines()[-1]
