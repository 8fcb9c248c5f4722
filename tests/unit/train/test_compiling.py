"""What is compiled, what is refused, and what a failing compiler says."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("torch")

from torch._dynamo.exc import TorchDynamoException

from tercet.errors import OptionError, TrainingError
from tercet.train import compiling


def test_a_task_with_nothing_to_compile_refuses(toy: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(
        OptionError, match=r"loop.compile: only the decoders of train text are compiled"
    ):
        toy.toy_fit(tmp_path / "run", compile=True)
    assert not (tmp_path / "run").exists()


def test_a_compiler_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(function: Any, dynamic: bool) -> Any:
        def call(*_: Any) -> Any:
            raise TorchDynamoException("cc1plus:\n  killed")

        return call

    monkeypatch.setattr(compiling.torch, "compile", failing)
    with pytest.raises(TrainingError, match=r"cannot compile here \(cc1plus: killed\)") as caught:
        compiling.compiled(abs)(-1)
    assert "--set loop.compile=false" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_errors_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling.torch, "compile", lambda function, dynamic: function)
    with pytest.raises(ZeroDivisionError):
        compiling.compiled(divmod)(1, 0)
