"""The catalog's table: names, aliases, suggestions."""

import re
from collections.abc import Callable
from types import ModuleType

import pytest

from tercet.catalog import (
    ALIASES,
    CATALOG,
    HEAD_ALIASES,
    HEADS,
    closest_head_names,
    closest_names,
    is_non_commercial,
    known_head,
    known_model,
    known_names,
)


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


# Heads


def test_the_sixteen_published_heads_of_whisper_at_are_listed() -> None:
    sizes = ("tiny", "base", "small", "medium")
    full = {f"{size}{tail}" for size in sizes for tail in ("", ".en")} | {"large-v1", "large-v2"}
    low = {"small", "small.en", "medium", "medium.en", "large-v1", "large-v2"}
    expected = {f"whisper-at:{one}" for one in full} | {f"whisper-at-low:{one}" for one in low}
    assert 16 == len(expected)
    assert expected == {name for name, head in HEADS.items() if head.reading == "tags"}


def test_a_head_of_whisper_at_is_called_as_in_its_own_cache() -> None:
    for name, head in HEADS.items():
        if head.reading == "tags":
            ending = "low" if name.startswith("whisper-at-low") else "ori"
            assert f"{head.encoder}_{ending}.pth" == head.file
            assert head.address.endswith(f"/{head.file}?dl=1")
            assert ("lw_down_tr_512_1_8" if ending == "low" else "lw_tr_1_8") == head.mode


def tag_parameters(width: int, hidden: int) -> int:
    """What the two blocks, the projection and the classifier have."""
    block = 12 * hidden**2 + 12 * hidden
    projection = 0 if width == hidden else 2 * width + (width + 1) * hidden
    return 2 * block + projection + 2 * hidden + (hidden + 1) * 527


@pytest.mark.parametrize(
    ("name", "width", "hidden"),
    [
        ("whisper-at:tiny", 384, 384),
        ("whisper-at:base.en", 512, 512),
        ("whisper-at:small", 768, 768),
        ("whisper-at:medium", 1024, 1024),
        ("whisper-at:large-v1", 1280, 1280),
        ("whisper-at-low:small.en", 768, 512),
        ("whisper-at-low:medium", 1024, 512),
        ("whisper-at-low:large-v2", 1280, 512),
    ],
)
def test_a_tag_heads_parameters_are_those_of_its_shape(name: str, width: int, hidden: int) -> None:
    assert round(tag_parameters(width, hidden) / 1e6, 3) == HEADS[name].parameters_m


@pytest.mark.parametrize(
    ("name", "encoder", "repository", "codes", "licence"),
    [
        ("ichigo-asr-2501-en-vi", "medium", "homebrewltd/ichigo-whisper", 2561, "CC-BY-NC-SA-4.0"),
        ("ichigo-asr-2502-en", "large-v3", "homebrewltd/ichigo-asr", 513, "CC-BY-NC-SA-4.0"),
        ("whispervq-2405-en", "medium", "WhisperSpeech/WhisperSpeech", 513, "MIT"),
    ],
)
def test_the_quantizers_of_ichigo_are_listed(
    name: str, encoder: str, repository: str, codes: int, licence: str
) -> None:
    row = HEADS[name]
    told = (row.reading, row.encoder, row.repository, row.codes, row.licence)
    assert ("tokens", encoder, repository, codes, licence) == told


def test_every_head_is_of_a_known_model_with_a_licence_and_one_place() -> None:
    for row in HEADS.values():
        assert row.encoder in CATALOG
        assert re.fullmatch(
            r"(MIT|BSD-[23]-Clause|Apache-2\.0|CC-BY(-NC)?(-SA)?-4\.0)", row.licence
        )
        assert bool(row.repository) != bool(row.address)
        assert re.fullmatch(r"[0-9a-f]{64}|", row.sha256)
        assert "" not in (row.name, row.file, row.source)
        assert 0 < row.parameters_m < 50
        assert (row.reading == "tags") == (row.mean_average_precision is not None)
        assert (row.reading == "tokens") == (row.codes is not None)


def test_ichigos_weights_are_the_only_ones_that_forbid_commercial_use() -> None:
    assert {"ichigo-asr-2501-en-vi", "ichigo-asr-2502-en"} == {
        name for name, row in HEADS.items() if not row.is_commercial_use_allowed
    }


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("CC-BY-NC-SA-4.0", True),
        ("cc-by-nc-4.0", True),
        ("Non-Commercial research", True),
        ("CC-BY-4.0", False),
        ("NCSA", False),
        ("MIT", False),
        ("", False),
    ],
)
def test_a_licence_says_whether_it_forbids_commercial_use(licence: str, expected: bool) -> None:
    assert expected == is_non_commercial(licence)


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("whisper-at:large", "whisper-at:large-v2"),
        ("whisper-at-low:large", "whisper-at-low:large-v2"),
        ("medium_low.pth", "whisper-at-low:medium"),
        ("ichigo-asr-2501-vi", "ichigo-asr-2501-en-vi"),
        (
            "homebrewltd/ichigo-whisper:merge-medium-vi-2d-2560c-dim64.pth",
            "ichigo-asr-2501-en-vi",
        ),
    ],
)
def test_an_alias_a_file_and_a_place_on_the_hub_lead_to_a_heads_row(name: str, row: str) -> None:
    assert HEADS[row] is known_head(name)


def test_no_two_heads_are_called_alike() -> None:
    assert len({row.file for row in HEADS.values()}) == len(HEADS)
    assert not set(HEADS) & set(HEAD_ALIASES)
    assert set(HEAD_ALIASES.values()) <= set(HEADS)
    assert not (set(HEADS) | set(HEAD_ALIASES)) & set(known_names())
    assert known_head("") is None
    assert known_head("medium") is None


def test_a_misspelt_head_finds_its_neighbour_first() -> None:
    assert "whisper-at:medium.en" == closest_head_names("whisper-at:medum.en")[0]
    assert [] == closest_head_names("zzzzqqqq")
