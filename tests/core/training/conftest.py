"""What the tests of preparing data sets share."""

import pytest
from prepare_tools import pictures


@pytest.fixture
def place(tmp_path):
    """Seven pictures, three of them in a folder below."""
    return pictures(tmp_path / "pictures")


@pytest.fixture
def target(tmp_path):
    """Where the set goes."""
    return tmp_path / "sets" / "mine"
