"""The learning rate as a function of the step: nothing to be saved, nothing to be resumed."""

import math

from tercet.train.recipe import LoopRecipe


def learning_rate(
    recipe: LoopRecipe, step: int, *, epoch_steps: int, lr_scale: float = 1.0
) -> float:
    """The rate with which step number `step` (from 0) is made.

    Warm-up is linear from `warmup_from` x lr. `linear` and `cosine` reach `final_lr`, one for all groups
    (as Ichigo's does), at the last step's end; `step` multiplies by `step_factor` after `step_first` epochs
    and after every `step_every` more (as MultiStepLR does in Whisper-AT).

    Args:
        recipe: See `LoopRecipe`.
        step: 0 and up.
        epoch_steps: Steps of an epoch.
        lr_scale: Of the parameter group.
    """
    top = recipe.lr * lr_scale
    if step < recipe.warmup_steps:
        share = step / recipe.warmup_steps
        return top * (recipe.warmup_from + (1 - recipe.warmup_from) * share)
    if recipe.schedule == "constant":
        return top
    if recipe.schedule == "step":
        after = step // epoch_steps - recipe.step_first
        drops = 0 if after < 0 else 1 + after // recipe.step_every
        return float(top * recipe.step_factor**drops)
    total = recipe.epochs * epoch_steps
    share = (step - recipe.warmup_steps) / max(1, total - recipe.warmup_steps)
    share = min(1.0, share)
    fall = share if recipe.schedule == "linear" else (1 - math.cos(math.pi * share)) / 2
    final = min(recipe.final_lr, top)
    return top + (final - top) * fall
