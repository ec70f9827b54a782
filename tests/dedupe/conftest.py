"""What workers do is done in the process of the test, unless it asks for `processes`."""

import pytest


@pytest.fixture(autouse=True)
def done_here(in_process):
    """Start no processes."""
