"""Write the frozen index file of the current format version; run once, when a version is new.

    python data/make_frozen.py

The file is committed and opened by a test for ever, so that no later version forgets how to read
it or how to say that it cannot. What it holds depends on nothing but this script.
"""

from pathlib import Path

import numpy as np

from imgdup import store

HEAD = {
    "text": "a name that is no UTF-8: \udcff",
    "integer": -(1 << 40),
    "list": [1, "two", []],
    "dict": {"empty": {}, "largest": (1 << 64) - 1},
}


def arrays() -> dict[str, np.ndarray]:
    """One array of each admitted type, one of two dimensions, one empty."""
    every = {f"of {dtype[1:]}": np.arange(5).astype(dtype) for dtype in store.DTYPES}
    rows = np.arange(12, dtype="<u8").reshape(3, 4)
    return {**every, "of two dimensions": rows, "empty": np.zeros((0, 4), "<u8")}


def path() -> Path:
    """Name the file of the current format version."""
    return Path(__file__).parent / "indexes" / str(store.FORMAT_VERSION) / "store"


def main() -> None:
    """Write it, unless it is there: what is frozen stays."""
    if path().exists():
        raise SystemExit(f"{path()} is frozen")
    path().parent.mkdir(parents=True, exist_ok=True)
    store.save(path(), HEAD, arrays())


if __name__ == "__main__":
    main()
