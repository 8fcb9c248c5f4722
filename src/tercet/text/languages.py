"""The languages Whisper knows: codes in the order of their tokens, and names that people use."""

from difflib import get_close_matches

from tercet.errors import LanguageError

# Code and English name, in token order. large-v3 has all 100; earlier models, the first 99.
_TABLE = """
en English, zh Chinese, de German, es Spanish, ru Russian, ko Korean, fr French, ja Japanese,
pt Portuguese, tr Turkish, pl Polish, ca Catalan, nl Dutch, ar Arabic, sv Swedish, it Italian,
id Indonesian, hi Hindi, fi Finnish, vi Vietnamese, he Hebrew, uk Ukrainian, el Greek, ms Malay,
cs Czech, ro Romanian, da Danish, hu Hungarian, ta Tamil, no Norwegian, th Thai, ur Urdu,
hr Croatian, bg Bulgarian, lt Lithuanian, la Latin, mi Maori, ml Malayalam, cy Welsh, sk Slovak,
te Telugu, fa Persian, lv Latvian, bn Bengali, sr Serbian, az Azerbaijani, sl Slovenian,
kn Kannada, et Estonian, mk Macedonian, br Breton, eu Basque, is Icelandic, hy Armenian,
ne Nepali, mn Mongolian, bs Bosnian, kk Kazakh, sq Albanian, sw Swahili, gl Galician, mr Marathi,
pa Punjabi, si Sinhala, km Khmer, sn Shona, yo Yoruba, so Somali, af Afrikaans, oc Occitan,
ka Georgian, be Belarusian, tg Tajik, sd Sindhi, gu Gujarati, am Amharic, yi Yiddish, lo Lao,
uz Uzbek, fo Faroese, ht Haitian Creole, ps Pashto, tk Turkmen, nn Nynorsk, mt Maltese,
sa Sanskrit, lb Luxembourgish, my Myanmar, bo Tibetan, tl Tagalog, mg Malagasy, as Assamese,
tt Tatar, haw Hawaiian, ln Lingala, ha Hausa, ba Bashkir, jw Javanese, su Sundanese, yue Cantonese
"""
LANGUAGES: dict[str, str] = dict(
    entry.strip().split(" ", 1) for entry in _TABLE.replace("\n", " ").split(",")
)
_ALIASES = {
    "burmese": "my",
    "castilian": "es",
    "flemish": "nl",
    "haitian": "ht",
    "jv": "jw",  # ISO's code; Whisper's token has the old one
    "letzeburgesch": "lb",
    "mandarin": "zh",
    "moldavian": "ro",
    "moldovan": "ro",
    "panjabi": "pa",
    "pushto": "ps",
    "sinhalese": "si",
    "valencian": "ca",
}
_CODES_BY_NAME = {name.lower(): code for code, name in LANGUAGES.items()} | _ALIASES


def language_code(language: str, known: tuple[str, ...]) -> str:
    """The code of a language given by code or English name, in any case.

    `known` are the codes of the model at hand.

    Raises:
        LanguageError: no such language, or not one of the model's.
    """
    asked = language.strip().lower().replace("_", " ") if isinstance(language, str) else ""
    code = asked if asked in LANGUAGES else _CODES_BY_NAME.get(asked)
    if code is None:
        close = get_close_matches(asked, [*LANGUAGES, *_CODES_BY_NAME], n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else "give a code such as en, de, zh"
        raise LanguageError(f"language {language!r} is unknown; {hint}")
    if code not in known:
        only = "it knows English only" if known == ("en",) else f"it knows {len(known)} others"
        raise LanguageError(f"this model does not know {LANGUAGES[code]} ({code}); {only}")
    return code
