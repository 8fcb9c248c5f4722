"""The one training loop: steps, epochs, checkpoints, and going on where a run was stopped.

What is learned is the task's business (`task`), which item comes when the sampler's (`sampling`), how a
step is made the stepper's (`steps`). Nothing is printed here.
"""

import json
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import torch

from tercet.errors import TrainingError
from tercet.train.averaging import MovingAverage, chosen_weights, mean_of
from tercet.train.compiling import check_compiling
from tercet.train.devices import end_others, is_first_process, open_fabric, quiet, repeatable
from tercet.train.figures import of_all
from tercet.train.logbook import Logbook
from tercet.train.random_states import seed_all
from tercet.train.reading import batches
from tercet.train.recipe import LoopRecipe, Recipe
from tercet.train.run_folder import RunFolder, read_checkpoint
from tercet.train.sampling import Order, Sampler, Shuffled, Weighted
from tercet.train.saving import Parts, Standing, captured, restored, weights
from tercet.train.sharding import check_sharding
from tercet.train.steps import StepFigures, Stepper
from tercet.train.stopping import Reason, Stopped, StopSignals
from tercet.train.task import TrainData, TrainTask
from tercet.train.validation import piece_size, validate
from tercet.train.watch import Pace, TrainProgress, Unwatched, Watcher

if TYPE_CHECKING:
    from lightning.fabric import Fabric

_NAMES_SHOWN = 8


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended. When it is finished, the task holds the weights that the recipe's `result` names."""

    folder: Path
    step: int
    total_steps: int
    stopped: Reason | None  # None: it is finished
    metrics: Mapping[str, float] = field(default_factory=dict)  # validation of those weights
    parts: Mapping[str, float] = field(default_factory=dict)  # of parts of it: "wer/language/vi"
    before: Mapping[str, float] = field(default_factory=dict)  # of all and of parts, at step 0
    weights: str = "last"  # "last", "best", "average"

    @property
    def is_finished(self) -> bool:
        """Whether all epochs were trained, or `patience` was lost."""
        return self.stopped is None


def fit(
    task: TrainTask,
    data: TrainData,
    recipe: Recipe[Any],
    folder: str | Path,
    *,
    resume: bool = False,
    watcher: Watcher | None = None,
) -> RunResult:
    """Train a task, or go on with it.

    Args:
        task: On the CPU; trained in place.
        data: What to train on.
        recipe: Its `values` have a field `loop`, a `LoopRecipe`.
        folder: The run's; made where it is missing.
        resume: Go on from the folder's last checkpoint.
        watcher: Is told of progress.

    Raises:
        OptionError: the recipe asks for what is not there; the folder holds a run (or none to resume), or one
            of another recipe.
        TrainingError: the loss is not finite any more; another run uses the folder.
        OutputError: the disk is full.
    """
    loop: LoopRecipe = recipe.values.loop
    chosen_weights(
        loop, validates=data.valid is not None
    )  # found out now, not after the last epoch
    check_compiling(loop.compile, has_parts=task.has_compiled_parts)
    check_sharding(loop, has_parts=task.has_sharded_parts)
    with ExitStack() as stack:
        stack.enter_context(quiet())
        stack.enter_context(repeatable(loop.deterministic))
        signals = stack.enter_context(StopSignals(loop.max_minutes))
        run_folder = RunFolder(Path(folder))
        if is_first_process():
            if resume:  # a folder that is refused is not made
                run_folder.check(recipe.settings(), resume=True)
            run_folder.hold()
            stack.callback(run_folder.release)
            run_folder.begin(recipe.settings(), recipe.text, resume=resume)
        fabric = open_fabric(loop)
        try:
            run = _Run(fabric, task, data, loop, run_folder, signals)
            stack.callback(run.close)
            run.watcher = watcher if watcher is not None and fabric.is_global_zero else Unwatched()
            run.begin(recipe.settings(), resume=resume)
            return run.to_the_end()
        except BaseException:
            end_others(fabric)
            raise


class _Run:
    """A run under way."""

    def __init__(
        self,
        fabric: "Fabric",
        task: TrainTask,
        data: TrainData,
        recipe: LoopRecipe,
        folder: RunFolder,
        signals: StopSignals,
    ) -> None:
        self.watcher: Watcher = Unwatched()
        self._fabric = fabric
        self._task = task
        self._data = data
        self._recipe = recipe
        self._folder = folder
        self._signals = signals
        seed_all(recipe.seed, fabric.global_rank)
        self._stepper = Stepper(fabric, task, recipe)
        order = data.order or _order(data, recipe.seed)
        average = MovingAverage(task, recipe.ema_decay) if recipe.average == "ema" else None
        self._parts = Parts(task, self._stepper.optimizer, Sampler(order, recipe.seed), average)
        pass_steps = -(-order.pass_length // recipe.batch_size)
        share = max(1, round(pass_steps * recipe.epoch_share))
        self._epoch_steps = recipe.epoch_steps or share
        self._total_steps = self._epoch_steps * recipe.epochs
        self._standing = Standing()
        self._pace = Pace(self._total_steps)
        self._saved_at = self._counted_at = monotonic()
        self._logbook: Logbook | None = None

    def begin(self, settings: Mapping[str, Any], *, resume: bool) -> None:
        """Take up the saved state, or make the first checkpoint."""
        if resume:
            state = read_checkpoint(self._folder.last)
            self._standing = restored(self._fabric, self._parts, state)
            step = self._standing.step
            self.watcher.on_note(
                f"{self._folder.path}: goes on after step {step} of {self._total_steps}"
            )
        self._count()
        if self._fabric.is_global_zero:
            self._logbook = Logbook(
                self._folder,
                self._recipe,
                settings,
                step=self._standing.step,
                size=self._standing.metrics_bytes,
            )
        if not resume:
            self._save()

    def close(self) -> None:
        """Finish the files of figures."""
        if self._logbook is not None:
            self._logbook.close()

    def to_the_end(self) -> RunResult:
        """Train until the last epoch is closed, or until someone wants to stop."""
        self._task.train()
        try:
            with closing(self._training_batches()) as source:
                self._measure_start()
                self._train(source)
            return self._give()
        except Stopped:
            self._save()
        reason = self._signals.reason or "interrupted"
        return self._result(self._standing.last_metrics, reason, "last")

    def _measure_start(self) -> None:
        """What the weights are worth before the first step. A run that goes on keeps what was found then."""
        standing = self._standing
        if not self._task.measures_start or self._data.valid is None:
            return
        if standing.step == 0 and not standing.before:
            standing.before = self._validate()
            self.watcher.on_note(f"before training{_told(standing.before)}")
            self._log({f"before/{name}": value for name, value in standing.before.items()})
            self._save()

    def _training_batches(self) -> Generator[Any, None, None]:
        fabric, data = self._fabric, self._data
        lists = self._parts.sampler.batches(
            piece_size(fabric, self._recipe), rank=fabric.global_rank, world=fabric.world_size
        )
        pin, workers = fabric.device.type == "cuda", self._recipe.workers
        return batches(data.train, data.collate, lists, workers=workers, pin_memory=pin)

    def _train(self, source: Iterator[Any]) -> None:
        """Nothing but the standing decides what comes next, so that a resumed run does the same."""
        standing = self._standing
        while standing.epochs_closed < self._recipe.epochs and not self._is_given_up():
            if standing.step == (standing.epochs_closed + 1) * self._epoch_steps:
                self._close_epoch()
                continue
            self._check_stop()
            self._make_step(source)
            if self._agree(monotonic() - self._saved_at > 60 * self._recipe.save_minutes):
                self._save()

    def _is_given_up(self) -> bool:
        """Whether the last validations were no better, as many as the recipe waits for."""
        return 0 < self._recipe.patience <= self._standing.since_best

    def _make_step(self, source: Iterator[Any]) -> None:
        standing = self._standing
        figures = self._stepper.compute(source, standing.step)
        if self._agree(not figures.is_finite):
            self._refuse(figures)
        rate = self._stepper.apply(standing.step, self._epoch_steps)
        standing.step += 1
        self._parts.sampler.advance(self._recipe.batch_size)
        self._count()
        if self._parts.average is not None:
            self._parts.average.update(standing.step)
        self._task.figures.add("loss", figures.loss)
        self._task.figures.add("gradient_norm", figures.gradient_norm)
        if standing.step % self._recipe.log_steps == 0:
            means = self._task.figures.means()
            self._task.figures.clear()
            self._log({"epoch": standing.epochs_closed + 1, "lr": rate, **means})
        self._tell("training", figures.loss)

    def _refuse(self, figures: StepFigures) -> None:
        """End the run: the weights are still good, the batch is not."""
        draws = self._parts.sampler.draws(self._parts.sampler.position, self._recipe.batch_size)
        name_of = self._data.name_of or str
        names = [name_of(draw.index) for draw in draws]
        what = "gradient" if abs(figures.loss) < float("inf") else "loss"
        step = self._standing.step + 1
        if self._fabric.is_global_zero:
            bad = {"step": step, "loss": str(figures.loss), "items": names}
            self._folder.write_text("bad_batch.json", json.dumps(bad, indent=1))
        more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
        raise TrainingError(
            f"{self._folder.path}: the {what} is not finite at step {step}, with items "
            f"{', '.join(names[:_NAMES_SHOWN])}{more} (all: bad_batch.json); the last good checkpoint is "
            "kept; leave those items out, or lower lr"
        )

    def _close_epoch(self) -> None:
        """Validate, keep what is to be kept, and go on to the next epoch."""
        epoch = self._standing.epochs_closed + 1
        due = epoch % self._recipe.valid_every == 0 or epoch == self._recipe.epochs
        if self._data.valid is not None and due:
            with ExitStack() as stack:
                if self._parts.average is not None:
                    stack.enter_context(self._parts.average.in_place())
                self._judge(epoch, self._validate())
        if self._recipe.average == "epochs" and epoch >= self._recipe.average_from:
            self._save_weights(self._folder.epoch(epoch), {})
        self._standing.epochs_closed = epoch
        self._count()
        self._save()

    def _judge(self, epoch: int, metrics: dict[str, float]) -> None:
        score, best = self._task.score(metrics), self._standing.best
        self._standing.last_metrics = metrics
        is_best = best is None or score > best or best != best
        if is_best:
            self._standing.best, self._standing.best_metrics = score, metrics
            self._save_weights(self._folder.best, metrics)
        self._standing.since_best = 0 if is_best else self._standing.since_best + 1
        self.watcher.on_note(f"epoch {epoch}{_told(metrics)}{'  (best so far)' if is_best else ''}")
        named = {f"valid/{name}": value for name, value in metrics.items()}
        self._log({"epoch": epoch, **named, "valid/score": score})
        if self._is_given_up():
            self.watcher.on_note(
                f"no better in {self._recipe.patience} validations; this was the last"
            )

    def _validate(self) -> dict[str, float]:
        def tell(done: int, total: int) -> None:
            if self._fabric.world_size == 1:  # devices may have one batch more or less
                self._check_stop()
            self._tell("validation", float("nan"), done, total)

        return validate(self._fabric, self._task, self._data, self._recipe, self._stepper, tell)

    def _give(self) -> RunResult:
        """Put the weights that the recipe wants into the task, and say how good they are."""
        recipe, standing = self._recipe, self._standing
        wanted = chosen_weights(recipe, validates=self._data.valid is not None)
        metrics = dict(standing.last_metrics)
        if wanted == "best":
            self._task.load_saved_state(read_checkpoint(self._folder.best)["task"])
            metrics = dict(standing.best_metrics)
        elif self._parts.average is not None and wanted == "average":
            self._parts.average.put()
        elif wanted == "average":
            numbers = range(recipe.average_from, recipe.epochs + 1)
            paths = [self._folder.epoch(number) for number in numbers]
            self._task.load_saved_state(mean_of(read_checkpoint(path)["task"] for path in paths))
            if self._data.valid is not None:
                metrics = self._validate()
                self._log({f"average/{name}": value for name, value in metrics.items()})
        self._stepper.make_whole()
        self._task.eval()
        self._save_weights(self._folder.result, metrics)
        return self._result(metrics, None, wanted)

    def _result(
        self, metrics: Mapping[str, float], reason: Reason | None, weights: str
    ) -> RunResult:
        whole = of_all(metrics)
        return RunResult(
            folder=self._folder.path,
            step=self._standing.step,
            total_steps=self._total_steps,
            stopped=reason,
            metrics=whole,
            parts={name: value for name, value in metrics.items() if name not in whole},
            before=dict(self._standing.before),
            weights=weights,
        )

    # What all devices do together, and the first one writes.

    def _save(self) -> None:
        now = monotonic()
        self._standing.elapsed_s += now - self._counted_at
        self._counted_at = self._saved_at = now
        if self._logbook is not None:
            self._standing.metrics_bytes = self._logbook.size
        state = captured(self._fabric, self._parts, self._standing)
        if self._fabric.is_global_zero:
            self._folder.save(self._folder.last, state)

    def _save_weights(self, path: Path, metrics: Mapping[str, float]) -> None:
        state = weights(self._fabric, self._task)
        if self._fabric.is_global_zero:
            told = {"task": state, "metrics": dict(metrics), "step": self._standing.step}
            self._folder.save(path, told)
        self._fabric.barrier()

    def _log(self, figures: Mapping[str, Any]) -> None:
        if self._logbook is not None:
            elapsed_s = self._standing.elapsed_s + monotonic() - self._counted_at
            self._logbook.write(self._standing.step, {**figures, "elapsed_s": elapsed_s})

    def _check_stop(self) -> None:
        if self._agree(self._signals.wanted()):
            raise Stopped

    def _agree(self, wish: bool) -> bool:
        """Whether any device wishes it: all do the same thing at the same step."""
        if self._fabric.world_size == 1:
            return wish
        flag = torch.tensor(float(wish), device=self._fabric.device)
        self._fabric.all_reduce(flag, reduce_op="sum")  # in place
        return bool(flag > 0)

    def _count(self) -> None:
        self._task.step = self._standing.step
        self._task.epoch = self._standing.epochs_closed
        self._task.total_steps = self._total_steps

    def _tell(self, phase: str, loss: float, done: int = 0, total: int = 0) -> None:
        step = self._standing.step
        self.watcher.on_progress(
            TrainProgress(
                step=step,
                total_steps=self._total_steps,
                epoch=min(self._standing.epochs_closed + 1, self._recipe.epochs),
                epochs=self._recipe.epochs,
                loss=loss,
                phase=phase,
                left_s=self._pace.left_s(step),
                done=done,
                total=total,
            )
        )


def _told(metrics: Mapping[str, float]) -> str:
    return "".join(f"  {name} {value:.4g}" for name, value in of_all(metrics).items())


def _order(data: TrainData, seed: int) -> Order:
    if data.weights is not None:
        return Weighted(data.weights, seed)
    return Shuffled(len(data.train), seed)
