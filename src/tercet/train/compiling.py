"""torch.compile for what a task runs most often, and one line where a machine cannot compile."""

import os
import shutil
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

from tercet.errors import OptionError, TrainingError

P = ParamSpec("P")
R = TypeVar("R")

_USUAL = {"win32": "cl", "darwin": "clang++"}  # what torch takes where CXX says nothing; else g++


def check_compiling(wanted: bool, *, has_parts: bool) -> None:
    """Find out before training whether `loop.compile` can be done.

    Args:
        wanted: The recipe's `loop.compile`.
        has_parts: Whether the task has anything that is compiled.

    Raises:
        OptionError: it has not, or there is no C++ compiler.
    """
    if not wanted:
        return
    if not has_parts:
        raise OptionError("loop.compile: only the decoders of train text are compiled; give false")
    compiler = os.environ.get("CXX") or _USUAL.get(sys.platform, "g++")
    if shutil.which(compiler) is None:
        raise OptionError(
            f"loop.compile: needs a C++ compiler, and there is no {compiler}; install it (or name another in "
            "CXX), or give false"
        )


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """`function`, compiled at its first call, once for batches and texts of all sizes.

    The result raises TrainingError where the compiler fails.
    """
    from torch._dynamo.exc import TorchDynamoException  # seconds, for those who compile alone

    fast = torch.compile(function, dynamic=True)

    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return fast(*args, **kwargs)
        except TorchDynamoException as error:
            reason = " ".join(str(error).split())[:120]
            raise TrainingError(
                f"loop.compile: torch cannot compile here ({reason}); go on with --resume --set "
                "loop.compile=false"
            ) from None

    return run
