"""Captions of training pictures, from text files."""

from __future__ import annotations

from ...errors import SCEditError
from .pictures import File

MOST_CAPTION = 100_000  # bytes; text encoders read some hundred


def read_caption(path: File) -> str:
    """A caption as one line of text. Raises SCEditError if the file is not UTF-8 or too long."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_CAPTION + 1)
        if len(content) > MOST_CAPTION:
            raise SCEditError(
                f"caption '{path.name}' has more than {MOST_CAPTION} bytes; shorten it, or give that file "
                "another ending than .txt"
            )
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SCEditError(
            f"caption '{path.name}' is not UTF-8 text ({error.reason}); save it again as UTF-8"
        ) from error
    except OSError as error:
        raise SCEditError(f"caption '{path.name}' cannot be read ({error}); allow reading it") from error
    return " ".join(text.split())


def with_trigger(caption: str, trigger: str) -> str:
    """The trigger in front of a caption, unless it is there already."""
    words, first = caption.split(), trigger.split()
    return " ".join(words if words[: len(first)] == first else [*first, *words])
