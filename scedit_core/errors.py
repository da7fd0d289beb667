"""The one error the pack raises for bad input."""


class SCEditError(ValueError):
    """A problem the user can act on: says what was expected, what came and what to do."""
