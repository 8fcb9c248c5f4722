"""The public page: `tercet.__all__` is sorted, complete, and every name in it is there."""

import inspect
import types

import tercet
from tercet import errors, results


def test_all_is_sorted_and_has_no_double() -> None:
    assert sorted(set(tercet.__all__)) == list(tercet.__all__)


def test_every_name_of_the_page_is_there() -> None:
    assert [] == [name for name in tercet.__all__ if not hasattr(tercet, name)]


def test_every_public_thing_is_on_the_page() -> None:
    here = {
        name
        for name, value in vars(tercet).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    } - {"TYPE_CHECKING"}
    assert set() == here - set(tercet.__all__)


def test_the_whole_error_tree_is_public() -> None:
    tree = {name for name, value in vars(errors).items() if inspect.isclass(value)}
    assert set() == tree - set(tercet.__all__)


def test_every_result_type_is_public() -> None:
    types_ = {
        name
        for name, value in vars(results).items()
        if inspect.isclass(value) and value.__module__ == results.__name__
    }
    assert set() == types_ - set(tercet.__all__)


def test_the_entry_points_of_the_readme_are_public() -> None:
    assert {"Model", "load_model"} <= set(tercet.__all__)


def test_every_error_of_ours_has_one_root() -> None:
    tree = [value for value in vars(errors).values() if inspect.isclass(value)]
    faults = [each for each in tree if not issubclass(each, UserWarning)]
    assert [] == [error for error in faults if not issubclass(error, errors.TercetError)]
