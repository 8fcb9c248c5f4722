"""PNG files from arrays, with zlib alone: what a page embeds needs no imaging library."""

import struct
import zlib

import numpy as np

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PALETTE, _RGBA = 3, 6  # colour types
_LEVELS = 32  # of a mask: finer ones are not seen, and cost twice the bytes


def rgba_png(pixels: np.ndarray) -> bytes:
    """uint8 [height, width, 4] as a PNG."""
    height, width, _ = pixels.shape
    return _file(_header(width, height, _RGBA), pixels.reshape(height, -1))


def mask_png(levels: np.ndarray) -> bytes:
    """Levels 0..1, [height, width], as a PNG of black that is so opaque."""
    height, width = levels.shape
    steps = np.round(np.clip(levels, 0.0, 1.0) * (_LEVELS - 1)).astype(np.uint8)
    alphas = np.round(np.linspace(0, 255, _LEVELS)).astype(np.uint8).tobytes()
    palette = _chunk(b"PLTE", bytes(3 * _LEVELS)) + _chunk(b"tRNS", alphas)
    return _file(_header(width, height, _PALETTE), steps, palette)


def _header(width: int, height: int, colour_type: int) -> bytes:
    return _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0))


def _file(header: bytes, rows: np.ndarray, palette: bytes = b"") -> bytes:
    """Each row has a byte before it that says how it is filtered: not at all."""
    filtered = np.zeros((rows.shape[0], rows.shape[1] + 1), np.uint8)
    filtered[:, 1:] = rows
    data = _chunk(b"IDAT", zlib.compress(filtered.tobytes(), 9))
    return _SIGNATURE + header + palette + data + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
