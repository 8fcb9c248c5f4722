"""Error rates of real sentences against jiwer over openai-whisper's own normalisers."""

import json

import pytest

from tercet.evaluate.text.scores import score_texts
from tercet.evaluate.word_errors import Utterance

pytest.importorskip("whisper_normalizer")

# (reference, what base makes of such speech, language)
SENTENCES = (
    ("Mr. Quilter's manner is no less interesting.", "mister quilters manner is no less in", "en"),
    ("It cost twenty-one dollars & fifty cents!", "It costs $21.50.", "en"),
    ("I won't, I can't, and I've told 'em so.", "I will not I cannot and I have told them", "en"),
    ("The colour of 1,000 grey theatres", "uh the color of one thousand gray theaters", "en"),
    ("Können Sie mir die Straße zeigen?", "Konnen sie mir die strasse zeigen", "de"),
    ("L'été dernier, nous étions à Orléans.", "l'été dernier nous étions Orléans", "fr"),
    ("¿Dónde está la estación, señor?", "donde está la estacion señor", "es"),
    ("今日はとても寒いですね。", "今日はとても暑いですね", "ja"),
    ("你好,世界。", "你好世间啊", "zh"),
)


def _texts(language: str) -> tuple[list[str], list[str]]:
    pairs = [(said, heard) for said, heard, code in SENTENCES if code == language]
    return [said for said, _ in pairs], [heard for _, heard in pairs]


@pytest.mark.parametrize("language", ["en", "de", "fr", "es", "ja", "zh"])
def test_rates_are_those_of_jiwer_over_whispers_normaliser(language, peer):
    jiwer, normalizers = peer("jiwer"), peer("whisper.normalizers")
    is_unspaced = language in ("ja", "zh")
    normalizer = (
        normalizers.EnglishTextNormalizer()
        if language == "en"
        else normalizers.BasicTextNormalizer(split_letters=is_unspaced)
    )
    said, heard = _texts(language)
    normal = [[" ".join(normalizer(text).split()) for text in texts] for texts in (said, heard)]
    letters = [
        [text.replace(" ", "") for text in texts] if is_unspaced else texts for texts in normal
    ]
    wanted = {
        "wer": jiwer.wer(*normal),
        "cer": jiwer.cer(*letters),
        "orthographic_wer": jiwer.wer(said, heard),
        "orthographic_cer": jiwer.cer(said, heard),
    }
    pairs = zip(said, heard, strict=True)
    found = score_texts([Utterance(*pair, language) for pair in pairs], draws=2)
    assert wanted == pytest.approx({unit: rate.rate for unit, rate in found.rates.items()})
    assert min(wanted["orthographic_wer"], wanted["orthographic_cer"]) > 0


def test_kinds_of_errors_are_those_of_jiwer_over_a_real_corpus(data_dir, peer):
    jiwer, normalizers = peer("jiwer"), peer("whisper.normalizers")
    lines = (data_dir / "speech_en/librispeech/manifest.jsonl").read_text("utf-8").splitlines()
    said = [json.loads(line)["text"] for line in lines[:200]]
    # A text loses its first word, has its third twice, and takes the next one's last word.
    heard = []
    for text, following in zip(said, said[1:] + said[:1], strict=True):
        words = text.capitalize().split()
        heard.append(" ".join([*words[1:3], *words[2:-1], following.split()[-1]]) + ".")
    normalizer = normalizers.EnglishTextNormalizer()
    wanted = jiwer.process_words(*([normalizer(text) for text in texts] for texts in (said, heard)))
    found = score_texts([Utterance(*pair, "en") for pair in zip(said, heard, strict=True)], draws=2)
    edits = found.rates["wer"].edits
    assert (wanted.substitutions, wanted.deletions, wanted.insertions) == (
        edits.substitutions,
        edits.deletions,
        edits.insertions,
    )
    assert wanted.wer == pytest.approx(found.rates["wer"].rate)
