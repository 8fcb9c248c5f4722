"""The words of `tercet label`: arguments and options, and what `--help` says of each."""

from pathlib import Path
from typing import Annotated

import typer

_LABELS, _LIMITS, _MACHINES = "How labels are made", "Which are kept", "On many machines"
Manifest = Annotated[str, typer.Argument(metavar="MANIFEST", show_default=False)]
Out = Annotated[Path, typer.Argument(metavar="FOLDER", show_default=False)]
Split = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Rows of this split alone; needed where a data set has several.",
        show_default=False,
    ),
]
TextColumn = Annotated[
    str | None,
    typer.Option(
        "--text_column",
        metavar="NAME",
        help="Where references are; text, sentence, transcript and the like are found.",
        show_default=False,
    ),
]
Language = Annotated[
    str | None,
    typer.Option(
        metavar="CODE",
        help="Of rows that do not say theirs; heard if left out.",
        show_default=False,
        rich_help_panel=_LABELS,
    ),
]
Task = Annotated[
    str,
    typer.Option(metavar="TASK", help="transcribe, or translate.", rich_help_panel=_LABELS),
]
WithoutTimestamps = Annotated[
    bool,
    typer.Option("--without_timestamps", help="Text alone.", rich_help_panel=_LABELS),
]
NoFallback = Annotated[
    bool,
    typer.Option(
        "--no_fallback",
        help="Keep doubtful text as it is, instead of decoding again at higher temperatures.",
        rich_help_panel=_LABELS,
    ),
]
PackS = Annotated[
    float,
    typer.Option(
        "--pack_s",
        metavar="S",
        help="Join a speaker's short recordings up to this; 0: never.",
        rich_help_panel=_LABELS,
    ),
]
GapS = Annotated[
    float,
    typer.Option(
        "--gap_s", metavar="S", help="Silence between joined ones.", rich_help_panel=_LABELS
    ),
]
BatchSize = Annotated[
    int, typer.Option("--batch_size", metavar="N", help="Windows decoded together.")
]
RowsPerShard = Annotated[
    int, typer.Option("--rows_per_shard", metavar="N", help="Windows of a shard.")
]
MostWer = Annotated[
    float,
    typer.Option(
        "--most_wer",
        metavar="SHARE",
        help="Word errors against the reference (letters, in languages without spaces).",
        rich_help_panel=_LIMITS,
    ),
]
MostCer = Annotated[
    float | None,
    typer.Option(
        "--most_cer",
        metavar="SHARE",
        help="Letter errors, too.",
        show_default=False,
        rich_help_panel=_LIMITS,
    ),
]
LeastLogprob = Annotated[
    float,
    typer.Option(
        "--least_logprob",
        metavar="X",
        help="Mean log-probability of a token.",
        rich_help_panel=_LIMITS,
    ),
]
MostCompression = Annotated[
    float,
    typer.Option(
        "--most_compression",
        metavar="X",
        help="Compression ratio: a sign of repetition.",
        rich_help_panel=_LIMITS,
    ),
]
LeastSpeech = Annotated[
    float,
    typer.Option(
        "--least_speech_s", metavar="S", help="Speech in a window.", rich_help_panel=_LIMITS
    ),
]
Languages = Annotated[
    str | None,
    typer.Option(
        metavar="LIST",
        help="Windows in these alone, as in de,fr.",
        show_default=False,
        rich_help_panel=_LIMITS,
    ),
]
KeepSeams = Annotated[
    bool,
    typer.Option(
        "--keep_seams",
        help="Also windows that had to be cut while somebody spoke.",
        rich_help_panel=_LIMITS,
    ),
]
Ray = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="Share the work out on a Ray cluster: HOST:PORT, auto or local; nothing: one that is found.",
        show_default=False,
        rich_help_panel=_MACHINES,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Teachers at once with --ray; as many as there are CPUs for if left out.",
        show_default=False,
        rich_help_panel=_MACHINES,
    ),
]
