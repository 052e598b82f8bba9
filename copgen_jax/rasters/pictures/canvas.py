"""Drawing with Pillow: panels of equal size, captions, colour bars and legends on a white page."""

import functools
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from copgen_jax.files import file_aside
from copgen_jax.rasters.pictures.classcolours import Colour
from copgen_jax.rasters.pictures.rendering import Ramp, ramp_colours

INK, FAINT, PAPER = (25, 28, 32), (105, 110, 118), (255, 255, 255)


class Canvas:
    """A page that is drawn on in pixels from the upper left corner."""

    def __init__(self, width: int, height: int):
        """A white page."""
        self.image = Image.new("RGB", (width, height), PAPER)
        self._draw = ImageDraw.Draw(self.image)

    def text(self, x: float, y: float, text: str, *, size: int = 13, ink: Colour = INK, anchor: str = "la") -> None:
        """Write one line; `anchor` as in Pillow (la: left, top of the line)."""
        self._draw.text((x, y), text, fill=ink, font=_font(size), anchor=anchor)

    def lines(self, x: float, y: float, text: str, *, width: int, size: int = 12, ink: Colour = FAINT) -> float:
        """Write text broken into lines of at most `width` pixels; returns where the next line would start."""
        for line in wrap(text, width, size):
            self.text(x, y, line, size=size, ink=ink)
            y += size + 4
        return y

    def panel(self, x: int, y: int, colours: np.ndarray, side: int) -> None:
        """Place colours (y, x, 3) enlarged to `side` pixels with a thin frame."""
        self.image.paste(enlarge(colours, side), (x, y))
        self._draw.rectangle((x - 1, y - 1, x + side, y + side), outline=(205, 208, 212))

    def bar(self, x: int, y: int, width: int, ramp: Ramp, labels: tuple[str, str], what: str = "") -> None:
        """A colour bar with the values at its ends and what they are in the middle."""
        colours = ramp_colours(np.linspace(0, 1, width)[None].repeat(9, 0), ramp, 0, 1)
        self.image.paste(Image.fromarray(colours), (x, y))
        self.text(x, y + 12, labels[0], size=11)
        self.text(x + width, y + 12, labels[1], size=11, anchor="ra")
        self.text(x + width / 2, y + 12, what, size=11, ink=FAINT, anchor="ma")

    def swatches(self, x: int, y: int, colours: Mapping[str, Colour], *, width: int) -> float:
        """A legend of named colours, several to a line where they fit; returns where the next line would start."""
        left = x
        for name, colour in colours.items():
            needed = 18 + math.ceil(_font(11).getlength(name)) + 10
            if left > x and left + needed > x + width:
                left, y = x, y + 17
            self._draw.rectangle((left, y + 1, left + 12, y + 13), fill=colour, outline=(150, 150, 150))
            self.text(left + 18, y, name, size=11)
            left += needed
        return y + 20


def enlarge(colours: np.ndarray, side: int) -> Image.Image:
    """(y, x, 3) as a picture of `side` pixels: pixels stay squares where they fit a whole number of times."""
    image = Image.fromarray(colours)
    whole = side % image.width == 0 and side % image.height == 0
    return image.resize((side, side), Image.Resampling.NEAREST if whole else Image.Resampling.BICUBIC)


def wrap(text: str, width: int, size: int) -> list[str]:
    """`text` broken at spaces into lines of at most `width` pixels; a longer word stands alone."""
    lines: list[str] = []
    for word in text.split():
        if lines and _font(size).getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def round_up(value: float) -> float:
    """The next 1, 2 or 5 times a power of ten at or above a positive `value`; 1 for anything else."""
    if not math.isfinite(value) or value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1.0, 2.0, 5.0, 10.0) if step * power >= value * (1 - 1e-9))


def save_png(path: str | Path, image: Image.Image, tags: Mapping[str, str]) -> None:
    """Write a PNG with text tags, whole or not at all.

    Raises:
        InputError: the disk is full, or the place cannot be written to.
    """
    info = PngInfo()
    for key, value in tags.items():
        info.add_itxt(key, value)
    with file_aside(path) as aside:
        image.save(aside, format="PNG", pnginfo=info)


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
