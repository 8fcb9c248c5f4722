"""Tensors of which each device holds a share (`sharding`), made whole for files and cut again.

All functions leave whole tensors as they are, so that callers need not ask which they have.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def is_share(value: Any) -> bool:
    """Whether it is this device's share of a tensor."""
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return False  # the import below costs a second, and most runs have one device
    from torch.distributed.tensor import DTensor

    return isinstance(value, DTensor)


def whole(value: Any, *, keep: bool = True) -> Any:
    """A state with every shard gathered, on the CPU. All devices have to call this together.

    Args:
        value: Tensors, in mappings and lists; what is not sharded is given back as it is.
        keep: False on devices that do not need it: they get something empty, and no memory is taken.
    """
    if isinstance(value, Mapping):
        return {name: whole(each, keep=keep) for name, each in value.items()}
    if isinstance(value, list):
        return [whole(each, keep=keep) for each in value]
    if not is_share(value):
        return value
    full = value.detach().full_tensor()
    return full.cpu() if keep else full.new_empty(0)


def share_of(value: Any, like: Any) -> Any:
    """This device's share of a whole tensor, where `like` is a share; else the tensor as it is."""
    if not is_share(like) or not isinstance(value, Tensor) or not value.dim():
        return value
    from torch.distributed.tensor import DTensor

    mesh = like.device_mesh
    pieces, number = value.chunk(mesh.size()), mesh.get_local_rank()
    own = pieces[number] if number < len(pieces) else value[:0]
    # Not `distribute_tensor`: it sends what every device has read, and sets random generators alike.
    return DTensor.from_local(
        own.to(like.device, copy=True),
        mesh,
        like.placements,
        run_check=False,
        shape=value.shape,
        stride=value.stride(),
    )


def shared_state(state: Mapping[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """An optimizer's whole state, cut as its parameters are."""
    trained = [each for group in optimizer.param_groups for each in group["params"]]
    numbers = [number for group in state["param_groups"] for number in group["params"]]
    parameters = dict(zip(numbers, trained, strict=True))
    moments = {
        number: {name: share_of(value, parameters[number]) for name, value in each.items()}
        for number, each in state["state"].items()
    }
    return {**state, "state": moments}
