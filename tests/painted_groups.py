"""Groups of duplicates for tests of the page that shows them."""

import cv2
from make_sample import photo

from imgdup.output.page import Entry, Group

EVIL = "<img src=x onerror=alert(1)>.jpg"
ENDS_THE_SCRIPT = "</script><script>alert(1)</script>"
RELATIONS = ("resized", "re-encoded", "edited")


def entry(path, distance=4, relation="resized", size_bytes=1000, thumbnail=None):
    return Entry(path, distance, relation, 640, 480, size_bytes, thumbnail)


def jpeg(seed=1):
    return cv2.imencode(".jpg", photo(seed, 220, 165)[..., ::-1])[1].tobytes()


def many_groups(n_groups, picture):
    """Groups of one to three removals, whose sizes fall from group to group."""
    return [
        Group(
            entry(f"photos/{number}/keeper.jpg", 0, "", 5_000, picture)._replace(
                n_hidden=len("photos/")
            ),
            [
                entry(
                    f"photos/{number}/copy-{copy}.jpg",
                    (number + copy) % 32,
                    RELATIONS[(number + copy) % 3],
                    10_000_000 - 1000 * number,
                    picture,
                )
                for copy in range(1 + number % 3)
            ],
        )
        for number in range(n_groups)
    ]
