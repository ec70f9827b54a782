"""The folder of real pictures that ``IMGDUP_DATA`` names, for tests that cannot do without."""

import os
from pathlib import Path

import pytest

_NAMED = os.environ.get("IMGDUP_DATA", "")

DATA = Path(_NAMED) if _NAMED and os.path.isdir(_NAMED) else None
needs_data = pytest.mark.skipif(
    DATA is None, reason=f"IMGDUP_DATA={_NAMED!r} is no folder of real pictures"
)
