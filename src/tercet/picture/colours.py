"""The colours of pictures: ink and paper, one colour per sound, one per code. Draws nothing."""

import numpy as np

# Light paper first, dark paper second.
PAPER = ("#ffffff", "#14151b")
INK = ("#1b1d27", "#eceef5")
QUIET = ("#666a78", "#9a9eae")
LINE = ("#e3e4ea", "#2b2d38")
BOX = ("#f1f2f6", "#23252f")
MEL = ("#23275f", "#c9cdff")
# Told apart by people who see few colours, too: they differ in lightness, and each lane has its name.
LANES = (
    ("#2f6fde", "#7aa7ff"),
    ("#d9730d", "#f29d4e"),
    ("#0f8b8d", "#43c6c8"),
    ("#c2347b", "#ef74b1"),
    ("#4a8f29", "#86cf6f"),
    ("#7b4fc9", "#b394f5"),
    ("#b38600", "#deb83e"),
    ("#c4412f", "#f47d6f"),
)
_GOLDEN = 0.6180339887498949  # steps that never come near each other again
_SILVER = 0.7548776662466927
_MASK_RGBA = (128, 132, 145, 70)  # no speech


def code_colours(codes: np.ndarray, *, mask_code: int | None = None) -> np.ndarray:
    """A colour per code: the same for the same code, in every picture; equally strong on light and dark.

    Args:
        codes: Whole numbers of any shape.
        mask_code: The one that stands for no speech; it is a pale grey.

    Returns uint8 [..., 4], RGBA.
    """
    values = codes.astype(np.float64)
    hue = 2.0 * np.pi * np.mod(values * _GOLDEN, 1.0)
    lightness = 0.60 + 0.20 * np.mod(values * _SILVER, 1.0)
    colours = np.full((*codes.shape, 4), 255, np.uint8)
    colours[..., :3] = _rgb(lightness, 0.125 * np.cos(hue), 0.125 * np.sin(hue))
    if mask_code is not None:
        colours[codes == mask_code] = _MASK_RGBA
    return colours


def _rgb(lightness: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Oklab (Ottosson, 2020) to sRGB, uint8 [..., 3]; what no screen can show is brought to its edge."""
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    middle = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = np.stack(
        [
            4.0767416621 * long - 3.3077115913 * middle + 0.2309699292 * short,
            -1.2684380046 * long + 2.6097574011 * middle - 0.3413193965 * short,
            -0.0041960863 * long - 0.7034186147 * middle + 1.7076147010 * short,
        ],
        axis=-1,
    )
    linear = np.clip(linear, 0.0, 1.0)
    curved = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    rgb: np.ndarray = np.round(255.0 * curved).astype(np.uint8)
    return rgb
