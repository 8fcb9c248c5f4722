"""Licences that forbid something, as one `note:` line on stderr instead of Python's two-line warning."""

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tercet.errors import LicenceWarning


@contextmanager
def licence_notes(*, quiet: bool, show: Callable[[str], None] | None = None) -> Iterator[None]:
    """What a `LicenceWarning` says within the block goes to `show`; with `quiet` to nobody.

    Other warnings go where they would.
    """
    say = show or (lambda line: print(line, file=sys.stderr, flush=True))
    with warnings.catch_warnings():
        elsewhere = warnings.showwarning

        def tell(message: Warning | str, category: type[Warning], *rest: object) -> None:
            if not issubclass(category, LicenceWarning):
                elsewhere(message, category, *rest)  # type: ignore[arg-type]
            elif not quiet:
                say(f"note: {' '.join(str(message).split())}")

        warnings.simplefilter("always", LicenceWarning)
        warnings.showwarning = tell  # type: ignore[assignment]
        yield
