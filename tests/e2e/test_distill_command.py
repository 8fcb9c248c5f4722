"""A student of real base, before it has learnt anything."""

import json
from pathlib import Path

from tercet import load_model
from tercet.checkpoint import open_checkpoint
from tercet.cli.main import main
from tercet.convert.fingerprint import are_alike


def test_a_student_of_base_hears_as_base_does_and_can_be_loaded(
    base_model: Path, clips_dir: Path, tmp_path: Path, capsys
) -> None:
    folder = tmp_path / "student"
    assert 0 == main(["distill", "init", str(base_model), str(folder), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert [0, 5] == told["decoder_layers"]
    # Of base's eight alignment heads, layer 5 has four.
    assert [[1, 1], [1, 2], [1, 4], [1, 6]] == told["alignment_heads"]
    assert 0.76 < told["share"] < 0.77
    assert are_alike(open_checkpoint(folder), open_checkpoint(base_model))
    heard = load_model(str(folder), threads=1).transcribe(
        str(clips_dir / "librispeech-1089-134686-0007.opus"), language="en", temperature=0.0
    )
    assert "en" == heard.language
