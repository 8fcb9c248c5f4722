"""openai-whisper, whisper-at and ichigo_asr as their authors wrote them, on a CPU, over the same weights.

Their packages go into a folder of their own, without what they pin:

    pip install --target build/originals --no-deps whisper-at==0.5 ichigo-asr==0.1.1 \
        vector_quantize_pytorch==1.6.22 einops

openai-whisper is in the group `test`. What `--no-deps` leaves out, and what stands in for it:

- whisper-at 0.5 pins triton 2.0.0 (imported for CUDA alone: never), tiktoken 0.3.3 and openai-whisper's
  other needs: those that are installed for openai-whisper 20250625 serve both.
- ichigo-asr 0.1.1 pins torch 2.5.1, torchaudio 2.5.1, openai_whisper 20240930, huggingface_hub 0.26.2,
  lightning 2.4.0, datasets 3.1.0, webdataset 0.2.85, and wants wandb, librosa, soundfile, black, evaluate,
  transformers, jiwer, gradio, matplotlib, seaborn, build, twine. For `quantize` it imports torch, whisper
  and huggingface_hub (the installed ones serve), vector_quantize_pytorch and einops (the pinned one, and
  the newest: as they are), and torchaudio.
- Shim 1, `shims/torchaudio.py`: a stand-in that can be imported. It is called for paths only, and
  benchmarks hand samples over. An installed torchaudio takes precedence.
- Shim 2, Ichigo's table of sizes has none for base: `base_quantizer` has the settings of
  "merge-medium-vi-2d-2560c-dim64" at base's width; Ichigo's own loader then reads the file (strictly).
- Shim 3, Ichigo asks openai-whisper for a model by name, which would be fetched: the name is base.pt's path.
- Shim 4, `ffmpeg`, which both Whispers run for paths, is not needed: they take NumPy arrays.
- whisper-at looks for base.pt and base_ori.pth in `download_root` and asks no network if they are there.

Ichigo's `quantize` hears 30 s at most, so a longer recording is handed over in pieces of 30 s.
"""

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from tercet.checkpoint import open_checkpoint
from tercet.checkpoint.heads import Quantizer, TagHead

from . import layouts

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ROOT / "build" / "originals"
INSTALL = (
    "pip install --target build/originals --no-deps whisper-at==0.5 ichigo-asr==0.1.1 "
    "vector_quantize_pytorch==1.6.22 einops"
)
WINDOW_SAMPLES = 480_000
Run = Callable[[np.ndarray], object]


def open_originals(
    weights: str, tags: TagHead, codes: Quantizer, folder: Path, threads: int
) -> dict[str, Run]:
    """The three, each opened by its own loader from files that are written into `folder`.

    Greedy, English given, no prompt from earlier windows (the fastest of openai-whisper's ways, and the
    only one of ours). `tags` is a TL-Tr head for AudioSet's 527 labels.
    """
    # In front: the environment may have a later vector_quantize_pytorch, whose arrays have other names.
    sys.path[:] = [str(PACKAGES), *sys.path, str(Path(__file__).parent / "shims")]
    warnings.filterwarnings("ignore")  # of old code on a new torch
    torch.set_num_threads(threads)
    layouts.write_whisper(folder / "base.pt", open_checkpoint(Path(weights)))
    layouts.write_whisper_at(folder / "base_ori.pth", tags)
    import whisper
    import whisper_at

    settings = {"language": "en", "temperature": 0.0, "condition_on_previous_text": False}
    plain = whisper.load_model(str(folder / "base.pt"), device="cpu")
    tagging = whisper_at.load_model("base", device="cpu", download_root=str(folder))
    quantizer = open_quantizer(codes, folder)

    def quantize(audio: np.ndarray) -> list[np.ndarray]:
        pieces = range(0, audio.size, WINDOW_SAMPLES)
        waves = [torch.from_numpy(audio[None, at : at + WINDOW_SAMPLES]) for at in pieces]
        return [quantizer.quantize(wave)[0].numpy() for wave in waves]

    return {
        "openai-whisper": lambda audio: plain.transcribe(audio, fp16=False, **settings),
        "whisper-at": lambda audio: tagging.transcribe(
            audio, at_time_res=10, fp16=False, **settings
        ),
        "ichigo_asr": quantize,
    }


def open_quantizer(codes: Quantizer, folder: Path) -> object:
    """Ichigo's module, read by its own loader, with openai-whisper behind it."""
    import ichigo_asr.demo.utils as loader

    path = folder / "ichigo.pth"
    layouts.write_ichigo(path, codes, base_quantizer(folder).state_dict())
    with mock.patch.object(loader, "make_vq_model", return_value=base_quantizer(folder)):
        quantizer = loader.load_model(str(path), size="base")
    quantizer.ensure_whisper("cpu")
    return quantizer


def base_quantizer(folder: Path) -> torch.nn.Module:
    """What Ichigo's factory makes for medium, at base's width."""
    from ichigo_asr.config.vq_config import VQConfig
    from ichigo_asr.models.vq_transformer import RQBottleneckTransformer

    return RQBottleneckTransformer(
        codebook_dim=64,
        vq_codes=2560,
        n_head=8,
        downsample=2,
        whisper_model_name=str(folder / "base.pt"),
        q_depth=1,
        depth=1,
        threshold_ema_dead_code=0,
        use_cosine_sim=True,
        config=VQConfig(),
        no_quantize=False,
    )
