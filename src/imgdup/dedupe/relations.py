"""How two pictures can be related, what a comparison found, and which relations allow a removal."""

from typing import NamedTuple

from imgdup.errors import UsageError
from imgdup.images.gray import ORIENTATIONS

RELATIONS = (
    "same-file",
    "same-bytes",
    "same-pixels",
    "same-picture",
    "recoloured",
    "edited",
    "cropped",
    "turned",
    "unverified",
    "different",
)
"""From the closest to the loosest; a relation is a position in this tuple.

``same-file``: one file under two names. ``same-bytes``: equal content. ``same-pixels``: different
bytes that decode to the same pixels. ``same-picture``: the pictures were compared, and no region
differs. ``recoloured``: only colours differ. ``edited``: a region differs. ``cropped``: one shows a
part of the other. ``turned``: rotated or mirrored. ``unverified``: a picture could not be compared.
``different``: no duplicates.
"""

SAME_FILE, SAME_BYTES, SAME_PIXELS, SAME_PICTURE = RELATIONS[:4]
RECOLOURED, EDITED, CROPPED, TURNED = RELATIONS[4:8]
UNVERIFIED, DIFFERENT = RELATIONS[8:]
REMOVABLE = (SAME_BYTES, SAME_PIXELS, SAME_PICTURE)
ON_REQUEST = (RECOLOURED, EDITED, CROPPED, TURNED)
"""Relations that are shown; a plan removes such files only if the user names the relation."""
OLD_RELATIONS = ("resized", "re-encoded")  # of plans that older versions made

VERDICT_VERSION = 20  # verdicts of another version are not comparable

Box = tuple[int, int, int, int]  # x, y, width and height, in thousandths of a picture
WHOLE: Box = (0, 0, 1000, 1000)


class Verdict(NamedTuple):
    """How two pictures are related."""

    # ``same-picture``, ``recoloured``, ``edited``, ``cropped``, ``turned`` or ``different``.
    relation: str
    # Largest local difference that copying does not explain, in gray levels from 0 to 255.
    peak: float
    # Where, in thousandths of the first picture: the region that differs most or, of cropped
    # pictures, what both show.
    box: Box | None
    # How the second picture must be turned to lie as the first, one of
    # `imgdup.images.gray.ORIENTATIONS`. A turned picture that differs otherwise, too, is not
    # ``turned``, but has the relation that it has in this orientation.
    orientation: str = ORIENTATIONS[0]
    # Whether each level of one picture became one level of the other, and nothing else differs.
    levels_only: bool = False
    # Of copies of different sizes: whether the larger one was ``enlarged``, or the other one
    # ``reduced``; None if their pixels do not show it.
    change_of_size: str | None = None
    # Of copies of one size: which was made from the other, the ``first`` or the ``second`` picture;
    # None if their pixels do not show it.
    copy: str | None = None


def removable(text: str = "", *, verify: bool = True) -> tuple[str, ...]:
    """Return the relations of files that a plan removes: the safe ones, and those that are named.

    If pictures are not compared, ``unverified`` duplicates are removed, too. Raises UsageError for
    any other name.

    Examples
    --------
    >>> removable("edited, cropped")
    ('same-bytes', 'same-pixels', 'same-picture', 'edited', 'cropped')
    """
    named = [name.strip() for name in text.split(",") if name.strip()]
    for name in named:
        if name not in ON_REQUEST:
            known = ", ".join(ON_REQUEST)
            raise UsageError(f"{name!r} is not a relation of files to remove; those are {known}")
    if not verify:
        named.append(UNVERIFIED)
    return tuple(name for name in RELATIONS if name in REMOVABLE or name in named)


def thousandths(box: tuple[float, float, float, float]) -> Box:
    """Turn shares (left, top, right, bottom) into x, y, width, height in thousandths."""
    left, top, right, bottom = (round(1000 * each) for each in box)
    return left, top, max(1, right - left), max(1, bottom - top)
