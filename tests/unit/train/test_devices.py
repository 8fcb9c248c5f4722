"""Several devices: two processes on the CPU, as Lightning's DDP and FSDP start them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tercet.errors import OptionError

torch = pytest.importorskip("torch")

TOY = Path(__file__).parent / "toy_run.py"


def run(folder: Path, *words: str, stop_at: int = -1) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(TOY), str(folder), *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TOY_STOP_AT": str(stop_at)},
    )


@pytest.mark.parametrize(
    ("summed", "strategy"), [("false", "auto"), ("true", "auto"), ("true", "fsdp")]
)
def test_two_devices_train_what_one_trains(
    toy: ModuleType, tmp_path: Path, summed: str, strategy: str
) -> None:
    """Also where a loss is a sum: of what counts, there is more on one device than on the other."""
    both_say = ("dropout=0.0", f"summed={summed}", "before=true")
    alone, _ = toy.toy_fit(tmp_path / "one", *both_say)
    two = (*both_say, "loop.devices=2", "loop.accelerator=cpu", f"loop.strategy={strategy}")
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


def test_a_run_goes_on_where_its_network_is_sharded_and_where_it_is_whole_again(
    toy: ModuleType, tmp_path: Path
) -> None:
    """One device, two with shards, one: moments, averages, pieces and clipped norms are the same ones."""
    both_say = ("dropout=0.0", "summed=true", "loop.clip_norm=0.5", "loop.average=ema")
    toy.toy_fit(tmp_path / "undisturbed", *both_say)
    folder = tmp_path / "run"
    toy.toy_fit(folder, *both_say, watcher=toy.Printer(stop_at=3))
    two = ("loop.devices=2", "loop.accelerator=cpu", "loop.strategy=fsdp", "loop.accumulate=2")
    done = run(folder, *both_say, *two, "--resume", stop_at=9)
    assert (0, "") == (done.returncode, done.stderr)
    assert "result 9 interrupted" in done.stdout
    ended, task = toy.toy_fit(folder, *both_say, resume=True)
    assert (True, 12) == (ended.is_finished, ended.step)
    whole, shards = (
        torch.load(tmp_path / name / "checkpoints/last.ckpt", weights_only=True)
        for name in ("undisturbed", "run")
    )
    for part in ("task", "average"):
        for name in task.net.state_dict():
            one, both = (state[part][f"net.{name}"] for state in (whole, shards))
            assert torch.allclose(one, both, atol=1e-5)
    assert whole["optimizer"]["param_groups"] == shards["optimizer"]["param_groups"]
    for number, moments in whole["optimizer"]["state"].items():
        for name, value in moments.items():
            other = shards["optimizer"]["state"][number][name]
            assert torch.allclose(value, other, atol=1e-5)


@pytest.mark.parametrize(
    ("has_parts", "version", "told"),
    [
        (False, "2.9.0", "loop.strategy 'fsdp': only the networks of train text are sharded.*give"),
        (
            True,
            "2.6.1+cpu",
            r"loop.strategy 'fsdp': needs torch 2.7 or newer, .* 2.6.1\+cpu; install",
        ),
    ],
)
def test_shards_that_cannot_be_made_are_one_line_before_anything_begins(
    toy: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    has_parts: bool,
    version: str,
    told: str,
) -> None:
    monkeypatch.setattr(toy.ToyTask, "has_sharded_parts", has_parts)
    monkeypatch.setattr(torch, "__version__", version)
    with pytest.raises(OptionError, match=told) as caught:
        toy.toy_fit(tmp_path / "run", strategy="fsdp", devices=2)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()
    assert toy.toy_fit(tmp_path / "run", strategy="fsdp")[0].is_finished  # on one device: whole
