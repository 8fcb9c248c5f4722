"""A folder that appears complete or not at all, whatever kills the process that writes it.

The files are written into a hidden folder beside it, which takes the final name in one step. The hidden
folder is locked while it is written, so that two processes cannot write the same one, and what a killed
process left is known by its being unlocked.
"""

import contextlib
import ctypes
import errno
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from tercet.errors import OutputError, TercetError

try:
    import fcntl
except ImportError:  # Windows: two processes at once are not told from each other there
    fcntl = None  # type: ignore[assignment]

_MOUNT_POINT = "a mount point cannot be replaced; name a folder below it"
_PART, _OLD = "tercet-part", "tercet-old"
_TRIES = 100  # each is lost to another process that has just finished
_HERE = -100  # AT_FDCWD: paths are relative to the working folder
_EXCHANGE = 2  # RENAME_EXCHANGE
_FOLDER_ITSELF = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
_NOT_SUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM}


@contextmanager
def whole_folder(folder: Path, *, replace: bool, known: Collection[str]) -> Iterator[Path]:
    """Yield an empty folder to write into; it becomes `folder` if the block ends without an error.

    Args:
        folder: The final name; its parents are made.
        replace: Whether a folder with files may be replaced. An empty one always is.
        known: Names of files that may be replaced. A folder with anything else in it never is.

    Raises:
        OutputError: `folder` is in use, must not be replaced, or cannot be written. What was there before
            is still there.
    """
    folder, part, old = _places(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = _claim(part, folder)
    except OSError as error:
        raise _fault(folder, error) from error
    try:
        _recover(folder, old)
        _check(folder, replace=replace, known=known)
        yield part
        _settle(part)
        _rename(part, folder, old)
    except OutputError as error:  # of a file in it: nobody knows the hidden folder
        raise OutputError(str(error).replace(str(part), str(folder))) from error
    except OSError as error:
        raise _fault(folder, error) from error
    finally:
        if _is_same(lock, part):  # half-written; once it is renamed, the name may be another's
            shutil.rmtree(part, ignore_errors=True)
        os.close(lock)


def check_replaceable(folder: Path, *, replace: bool, known: Collection[str]) -> None:
    """Fail early where `whole_folder` would; what a killed process left is cleared away.

    Raises:
        OutputError: as `whole_folder`.
    """
    folder, part, old = _places(folder)
    try:
        if os.path.lexists(part) or old.is_dir():
            lock = _claim(part, folder)
            try:
                _recover(folder, old)
                part.rmdir()  # before it is unlocked: then it would be the next one's
            finally:
                os.close(lock)
        _check(folder, replace=replace, known=known)
    except OSError as error:
        raise _fault(folder, error) from error


def _places(folder: Path) -> tuple[Path, Path, Path]:
    """The folder itself; where it is written; where an older one is for a moment."""
    folder = Path(folder).expanduser().resolve()
    return (
        folder,
        folder.with_name(f".{folder.name}.{_PART}"),
        folder.with_name(f".{folder.name}.{_OLD}"),
    )


def _check(folder: Path, *, replace: bool, known: Collection[str]) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise OutputError(f"{folder}: a file has this name; choose another folder")
    if os.path.ismount(folder):
        raise OutputError(f"{folder}: {_MOUNT_POINT}")
    found = sorted(entry.name for entry in folder.iterdir())
    foreign = [name for name in found if name not in known]
    if foreign:
        more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        raise OutputError(
            f"{folder}: holds {foreign[0]}{more}, which would be lost; name a folder of its own"
        )
    if found and not replace:
        raise OutputError(f"{folder}: holds a model; --force replaces it")


def _claim(part: Path, folder: Path) -> int:
    """Make and lock the hidden folder, empty; the descriptor holds the lock."""
    for _ in range(_TRIES):
        part.mkdir(exist_ok=True)
        # Never through a link: what lies in the hidden folder is going to be removed.
        try:
            descriptor = os.open(part, _FOLDER_ITSELF)
        except FileNotFoundError:
            continue  # another process has just finished, and renamed it
        try:
            _lock(descriptor)
            if _is_same(descriptor, part):
                _empty(part)
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise OutputError(
                f"{folder}: another process is writing it; wait for that, or name another folder"
            ) from None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    raise OutputError(f"{part}: keeps changing; remove it, or name another folder")


def _lock(descriptor: int) -> None:
    """Lock a folder for this process, until the descriptor is closed.

    Raises:
        BlockingIOError: another process has locked it.
    """
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_same(descriptor: int, path: Path) -> bool:
    """Whether the path still names what was opened: its writer may have renamed it in between."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat(follow_symlinks=False))
    except FileNotFoundError:
        return False


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _recover(folder: Path, old: Path) -> None:
    """Undo half of a replacement in two steps (see `_rename`), if a process was killed between them."""
    if old.is_dir() and not old.is_symlink():
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(folder)


def _settle(part: Path) -> None:
    """Have the files on the disk before their name says that they are complete."""
    for path in [*part.iterdir(), part]:
        with contextlib.suppress(PermissionError):  # Windows opens no folders
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _rename(part: Path, folder: Path, old: Path) -> None:
    """Give the folder its final name, in one step where the system can exchange two names."""
    if not (folder.exists() and any(folder.iterdir())):
        part.rename(folder)  # onto an empty folder, too
        return
    replaced = os.open(folder, _FOLDER_ITSELF)
    try:
        # What is replaced gets the hidden name for a moment: nobody else may take it for a leftover.
        _lock(replaced)
        if _exchange(part, folder):
            shutil.rmtree(part, ignore_errors=True)
            return
    finally:
        os.close(replaced)
    folder.rename(old)
    try:
        part.rename(folder)
    except OSError:
        old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names at once (Linux); False where system or file system cannot."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    if rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _NOT_SUPPORTED:
        return False
    raise OSError(code, os.strerror(code))


def _fault(folder: Path, error: OSError) -> TercetError:
    """One line for what the file system said; errors that have their line already stay."""
    if isinstance(error, TercetError):
        return error
    hint = "choose another folder"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "free space, or choose another disk"
    if error.errno in (errno.EBUSY, errno.EXDEV):
        hint = _MOUNT_POINT
    reason = error.strerror or str(error)
    return OutputError(f"{folder}: cannot be written ({reason}), nothing was changed; {hint}")
