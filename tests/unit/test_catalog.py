"""The catalog's table: names, aliases, suggestions."""

from collections.abc import Callable
from types import ModuleType

import pytest

from tercet.catalog import ALIASES, CATALOG, closest_names, known_model, known_names


@pytest.mark.parametrize(
    ("name", "repository"),
    [
        ("tiny.en", "openai/whisper-tiny.en"),
        ("base", "openai/whisper-base"),
        ("large-v1", "openai/whisper-large"),
        ("large", "openai/whisper-large-v3"),
        ("turbo", "openai/whisper-large-v3-turbo"),
        ("distil-small.en", "distil-whisper/distil-small.en"),
        ("distil-large-v3.5", "distil-whisper/distil-large-v3.5"),
    ],
)
def test_a_name_leads_to_its_repository(name: str, repository: str) -> None:
    model = known_model(name)
    assert model is not None
    assert repository == model.repository


def test_every_name_of_faster_whisper_is_known_and_its_repository_is_ours(
    peer: Callable[[str], ModuleType],
) -> None:
    peers = peer("faster_whisper.utils")._MODELS
    assert set(peers) <= set(known_names())
    assert peers == {
        name: model.ctranslate2 for name in peers if (model := known_model(name)) is not None
    }


def test_every_hub_id_that_faster_whispers_users_type_in_full_is_known(
    peer: Callable[[str], ModuleType],
) -> None:
    for name, hub_id in peer("faster_whisper.utils")._MODELS.items():
        assert known_model(name) == known_model(hub_id)
        assert known_model(hub_id) is not None


@pytest.mark.parametrize(
    ("hub_id", "name"),
    [
        ("openai/whisper-small", "small"),
        ("openai/whisper-large", "large-v1"),
        ("openai/whisper-large-v3", "large-v3"),
        ("openai/whisper-large-v3-turbo", "large-v3-turbo"),
        ("Systran/faster-whisper-small", "small"),
        ("guillaumekln/faster-whisper-large-v2", "large-v2"),
        ("deepdml/faster-whisper-large-v3-turbo-ct2", "large-v3-turbo"),
        ("mobiuslabsgmbh/faster-whisper-large-v3-turbo", "large-v3-turbo"),
        ("distil-whisper/distil-large-v3", "distil-large-v3"),
        ("Systran/faster-distil-whisper-large-v3", "distil-large-v3"),
        ("distil-whisper/distil-large-v3.5-ct2", "distil-large-v3.5"),
    ],
)
def test_a_hub_id_in_full_leads_to_its_row(hub_id: str, name: str) -> None:
    assert CATALOG[name] is known_model(hub_id)


def test_no_hub_id_is_in_two_rows() -> None:
    ids = [hub_id for row in CATALOG.values() for hub_id in (row.repository, *row.copies)]
    assert len(ids) == len(set(ids))


def test_a_download_is_the_weights_in_two_or_four_bytes_a_parameter() -> None:
    for row in CATALOG.values():
        assert row.download_mb == pytest.approx(2 * row.parameters_m, rel=0.05) or (
            row.download_mb == pytest.approx(4 * row.parameters_m, rel=0.05)
        )


def test_every_name_of_openai_whisper_is_known(peer: Callable[[str], ModuleType]) -> None:
    assert set(peer("whisper").available_models()) <= set(known_names())


def test_aliases_lead_to_rows_and_are_not_rows() -> None:
    assert set(ALIASES.values()) <= set(CATALOG)
    assert not set(ALIASES) & set(CATALOG)


def test_english_only_models_say_so_and_third_generation_knows_cantonese() -> None:
    assert [] == [
        name for name in CATALOG if name.endswith(".en") and CATALOG[name].is_multilingual
    ]
    assert 100 == CATALOG["large-v3"].languages
    assert 99 == CATALOG["large-v2"].languages


def test_size_is_two_bytes_a_parameter() -> None:
    assert 148 == CATALOG["base"].size_mb


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("smal", "small"), ("large_v3", "large-v3"), ("whisper-tiny", "tiny"), ("BASE", "base")],
)
def test_a_misspelt_name_finds_its_neighbour_first(typed: str, meant: str) -> None:
    assert meant == closest_names(typed)[0]


def test_names_known_elsewhere_are_suggested_too() -> None:
    assert ["our-meetings"] == closest_names("our-meeting", also=["our-meetings"])
    assert [] == closest_names("zzzzqqqq")
