"""The windows of a recipe's sets as data for the loop: those to learn from, and those held out."""

from collections.abc import Mapping, Sequence

from tercet.dataset.encoded import EncodedReader
from tercet.text.tokenizer import Tokenizer
from tercet.train.sampling import order_of_sets
from tercet.train.task import Items, TrainData
from tercet.train.text.data import CachedLessons, Chooser, HeardLessons, collate
from tercet.train.text.material import Split
from tercet.train.text.recipe import DataRecipe

Both = tuple[Items, Items]  # to learn from, held out
Heard = tuple[HeardLessons, HeardLessons]


class Lessons:
    """All windows of some sets, one set behind the other."""

    def __init__(
        self, divided: Sequence[Split], tokenizer: Tokenizer, recipe: DataRecipe, *, room: int
    ) -> None:
        """`room`: positions of the decoder."""
        self._divided = divided
        self.train = [each for split in divided for each in split.train]
        self.held_out = [each for split in divided for each in split.held_out]
        self._random, self._fixed = (
            Chooser(tokenizer, recipe, room=room, is_random=each) for each in (True, False)
        )

    def heard(self, n_mels: int) -> Heard:
        """Their sound, each time they are drawn; changed as the recipe says where they are learnt from."""
        return (
            HeardLessons(self.train, self._random, n_mels=n_mels, is_changed=True),
            HeardLessons(self.held_out, self._fixed, n_mels=n_mels, is_changed=False),
        )

    def kept(self, readers: Mapping[str, EncodedReader], heard: Heard | None = None) -> Both:
        """Their kept states, by set; with their sound, where the student does not hear what was kept."""
        of_train = [split.name for split in self._divided for _ in split.train]
        of_held_out = [split.name for split in self._divided for _ in split.held_out]
        live, live_held_out = heard or (None, None)
        return (
            CachedLessons(self.train, readers, of_train, self._random, live),
            CachedLessons(self.held_out, readers, of_held_out, self._fixed, live_held_out),
        )

    def data(self, items: Both, *, seed: int) -> TrainData:
        """What the loop takes; sets are drawn by their weights."""
        learnt, held_out = items
        return TrainData(
            train=learnt,
            valid=held_out,
            collate=collate,
            order=order_of_sets(
                [len(split.train) for split in self._divided],
                [split.weight for split in self._divided],
                seed,
            ),
            name_of=lambda number: self.train[number].label.id,
        )
