"""Stands in for torchaudio (see `originals/systems.py`): can be imported, and opens no file."""


def load(path: str) -> object:
    raise RuntimeError(f"{path}: benchmarks hand samples over, not files; torchaudio is a stand-in")
