"""The one error the pack raises for bad input, and how names get into its sentences."""

from collections.abc import Iterable


class SCEditError(ValueError):
    """A problem the user can act on: says what was expected, what came and what to do."""

    # ComfyUI writes the module of an error, which for a node pack is a path, in front of the sentence; it
    # leaves that of built-in ones out, and the sentence begins with the class alone
    __module__ = "builtins"


def shown(name: str, most: int = 120) -> str:
    """A name out of a file or folder, fit to stand in a sentence: on one line, and not longer than one."""
    name = name if len(name) <= most else f"{name[:most]}..."
    return name if name.isprintable() else ascii(name)[1:-1]


def some(keys: Iterable[str], most: int = 3) -> str:
    """The first of these names in order, and how many more there are."""
    names = [shown(key) for key in sorted(keys)]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
