"""The one error the pack raises for bad input, and how names get into its sentences."""

from collections.abc import Iterable, Sequence

MOST_SHOWN = 120  # characters of a name or key in a sentence
MOST_SENTENCE = 1_200


class SCEditError(ValueError):
    """A problem the user can act on: says what was expected, what came and what to do.

    Whatever a name or another library's words bring along, the sentence is one printable line.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(shown(" ".join(sentence.split("\n")), MOST_SENTENCE))

    # ComfyUI writes the module of an error, which for a node pack is a path, in front of the sentence; it
    # leaves that of built-in ones out, and the sentence begins with the class alone
    __module__ = "builtins"


def shown(name: object, most: int = MOST_SHOWN) -> str:
    """A name out of a file or folder, fit to stand in a sentence: on one line, and not longer than one."""
    text = str(name)
    plain = "".join(map(_printable, text[:most]))
    return plain if len(plain) <= most and len(text) <= most else f"{plain[:most]}..."


def _printable(character: str) -> str:
    """The character, or its escape if it is a control character, half of a pair or turns the direction."""
    return character if character.isprintable() else ascii(character)[1:-1]


def some(keys: Iterable[str], most: int = 3) -> str:
    """The first of these names in order, and how many more there are."""
    return listed([shown(key) for key in sorted(keys)], most)


def listed(names: Sequence[str], most: int = 5) -> str:
    """The first of these names as they are, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
