"""The names of how two duplicates differ, and which of them let a plan remove a file."""

from imgdup.errors import UsageError

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
UNVERIFIED, DIFFERENT = RELATIONS[-2:]
REMOVABLE = (SAME_BYTES, SAME_PIXELS, SAME_PICTURE)
ON_REQUEST = ("recoloured", "edited", "cropped", "turned")
"""Relations that are shown; a plan removes such files only if the user names the relation."""
OLD_RELATIONS = ("resized", "re-encoded")  # of plans that older versions made


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
