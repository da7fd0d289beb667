"""Labels in any script: a font of this computer that has their letters, and lines that fit a width."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import accumulate

from PIL import Image, ImageDraw, ImageFont

# Files by their bare names, which Pillow finds in the system's folders. Its own font has little but ASCII.
FONTS = (
    "DejaVuSans.ttf", "segoeui.ttf", "Arial Unicode.ttf", "NotoSans-Regular.ttf",
    "msyh.ttc", "PingFang.ttc", "Hiragino Sans GB.ttc", "STHeiti Medium.ttc",
    "NotoSansCJK-Regular.ttc", "NotoSansCJKsc-Regular.otf", "NotoSansSC-Regular.otf",
    "NotoSansSC-Regular.ttf",
    "SourceHanSansSC-Regular.otf", "wqy-microhei.ttc", "wqy-zenhei.ttc", "DroidSansFallbackFull.ttf",
    "DroidSansFallback.ttf", "simhei.ttf", "simsun.ttc", "msjh.ttc",
    "YuGothM.ttc", "meiryo.ttc", "msgothic.ttc", "malgun.ttf", "AppleSDGothicNeo.ttc", "NanumGothic.ttf",
)  # fmt: skip
STAND_IN = "?"  # for a letter that no font has
_TRIED_AT = 24  # pixels, at which letters are compared
_IN_NO_FONT = "\U0010ffff"  # no character, and never one
_FIRST_WIDE = "\u2e80"  # from here on scripts break between any two letters
_CUT = "…"
_MOST_CHARACTERS = 300  # of a label; three lines have room for half of them

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Face:
    """A font file, or Pillow's own font where there is no name, and which letters asked of it are missing."""

    name: str | None
    missing: frozenset[str]

    def at(self, size: int) -> Font:
        """The font with letters of this many pixels."""
        return ImageFont.load_default(size) if self.name is None else ImageFont.truetype(self.name, size)

    def written(self, label: str) -> str:
        """The label as it can be drawn: letters that are missing are `?`."""
        return "".join(STAND_IN if letter in self.missing else letter for letter in label)


def plain(label: str) -> str:
    """A label on one line, without what cannot be seen; a longer one than any picture has room for is cut."""
    seen = "".join(letter if letter.isprintable() else " " for letter in label[:_MOST_CHARACTERS])
    return " ".join(seen.split()) + (_CUT if len(label) > _MOST_CHARACTERS else "")


def face_for(labels: Collection[str]) -> Face:
    """Pillow's own font, or else the first of FONTS on this computer, that has all letters of some labels.

    If none has them all, the first of those that lack fewest. Plain English looks the same everywhere.
    """
    letters = {letter for label in labels for letter in label if not letter.isspace()}
    best = Face(None, _missing(ImageFont.load_default(_TRIED_AT), letters))
    for name in FONTS:
        if not best.missing:
            break
        try:
            font = ImageFont.truetype(name, _TRIED_AT)
        except OSError:  # not on this computer
            continue
        face = Face(name, _missing(font, letters))
        best = min(best, face, key=lambda each: len(each.missing))
    return best


def lines_of(label: str, font: Font, width: float, most: int) -> tuple[str, ...]:
    """A label on lines no wider than `width`, at most so many; what is left over becomes an ellipsis."""
    # letter by letter: what kerning moves is less than the gap between two labels
    widths = {letter: font.getlength(letter) for letter in {*label, _CUT}}
    lines: list[str] = []
    while label and len(lines) < most - 1:
        end = _break_in(label, _fitting(label, widths, width))
        lines.append(label[:end].rstrip())
        label = label[end:].lstrip()
    return (*lines, _shortened(label, widths, width)) if label else tuple(lines)


def _missing(font: Font, letters: Collection[str]) -> frozenset[str]:
    """Letters for which a font draws what it draws for no letter at all."""
    nothing = _drawn(font, _IN_NO_FONT)
    return frozenset(letter for letter in letters if _drawn(font, letter) == nothing)


def _drawn(font: Font, letter: str) -> bytes:
    image = Image.new("L", (3 * _TRIED_AT, 3 * _TRIED_AT))
    ImageDraw.Draw(image).text((_TRIED_AT, _TRIED_AT), letter, fill=255, font=font)
    return image.tobytes()


def _fitting(text: str, widths: Mapping[str, float], width: float) -> int:
    """How many characters of a text fit, at least one: else there would be no end."""
    ends = list(accumulate(widths[letter] for letter in text))
    return max(1, bisect_right(ends, width))


def _break_in(text: str, end: int) -> int:
    """Where to break a text of which so many characters fit: between words, if there is such a place."""
    if end == len(text):
        return end
    pairs = ((place, text[place - 1 : place + 1]) for place in range(end, 0, -1))
    return next((place for place, pair in pairs if " " in pair or max(pair) >= _FIRST_WIDE), end)


def _shortened(text: str, widths: Mapping[str, float], width: float) -> str:
    """A text on one line, whose end is an ellipsis if it does not fit."""
    if _fitting(text, widths, width) == len(text):
        return text
    return text[: _fitting(text, widths, width - widths[_CUT])].rstrip() + _CUT
