"""Decide which members of a shard are removed with the pictures that a plan removes.

A sample, as in WebDataset, is the set of members whose names are equal up to the first dot after
the last slash, such as ``a/1.jpg``, ``a/1.txt`` and ``a/1.json``.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from imgdup.containers.without import Stored

_NAME = re.compile(rb"(?P<key>(?:.*/)?[^./]+)\.[^/]*", re.DOTALL)

OTHER_PICTURES = "its sample also contains other pictures; --whole-samples removes these as well"
KEEPER = "its sample contains a picture that is kept in place of another one"
LINKED = "a hard link in the tar file points to its sample"


class ShardPictures(NamedTuple):
    """The pictures of a shard, by their positions.

    Attributes
    ----------
    removed : mapping of int to int or None
        Those that the plan removes, and the position of the kept one if it is in this shard.
    kept : set of int
        All others.
    keepers : set of int
        Of these, the ones that are kept in place of a removed picture.
    """

    removed: Mapping[int, int | None]
    kept: frozenset[int]
    keepers: frozenset[int]


@dataclass
class SampleDecision:
    """What is removed from a shard.

    Attributes
    ----------
    gone : dict of int to int
        The position of each removed member, and that of the picture that it belongs to: its own,
        for a picture that the plan removes.
    stayed : dict of int to str
        Positions of pictures that the plan removes but that are kept, and why.
    """

    gone: dict[int, int] = field(default_factory=dict)
    stayed: dict[int, str] = field(default_factory=dict)


def decide(members: Sequence[Stored], pictures: ShardPictures, *, whole: bool) -> SampleDecision:
    """Return which members of a shard are removed.

    Parameters
    ----------
    members : sequence of Stored
        All members, in their order.
    pictures : ShardPictures
    whole : bool
        Whether a sample is removed even if it contains other pictures, such as masks.
    """
    samples: dict[tuple[bytes, int], list[Stored]] = {}
    for key, member in zip(sample_keys(members), members, strict=True):
        samples.setdefault(key, []).append(member)
    decision = SampleDecision()
    for sample in samples.values():
        places = [member.place for member in sample]
        if not pictures.removed.keys().isdisjoint(places):
            _decide_sample(decision, places, pictures, whole)
    _keep_what_links_lead_to(decision, samples.values())
    return decision


def _decide_sample(
    decision: SampleDecision, places: list[int], pictures: ShardPictures, whole: bool
) -> None:
    removed = [place for place in places if place in pictures.removed]
    has_keeper = not pictures.keepers.isdisjoint(places)
    if pictures.kept.isdisjoint(places) or (whole and not has_keeper):
        for place in places:
            decision.gone[place] = place if place in pictures.removed else removed[0]
        return
    for place in removed:
        if pictures.removed[place] in places:
            decision.gone[place] = place
        else:
            decision.stayed[place] = KEEPER if has_keeper else OTHER_PICTURES


def _keep_what_links_lead_to(decision: SampleDecision, samples: Iterable[list[Stored]]) -> None:
    """Keep each sample whose content is the target of a link from a kept member."""
    listed = list(samples)
    found = {member.name: sample for sample in listed for member in sample if not member.link}
    waiting = [sample for sample in listed if any(member.link for member in sample)]
    while True:
        needed = [
            found[member.link]
            for sample in waiting
            for member in sample
            if member.link in found and member.place not in decision.gone
        ]
        dropped = [sample for sample in needed if any(m.place in decision.gone for m in sample)]
        if not dropped:
            return
        for member in (member for sample in dropped for member in sample):
            if decision.gone.pop(member.place, None) == member.place:
                decision.stayed[member.place] = LINKED


def sample_keys(members: Sequence[Stored]) -> list[tuple[bytes, int]]:
    """Return the sample of each member: its key, and a number if several samples have one key.

    Where names are repeated, a sample ends where another key, or a name again, follows.

    Examples
    --------
    >>> sample_keys([Stored(name, 0) for name in (b"a.jpg", b"b.jpg", b"a.txt", b"README")])
    [(b'a', 0), (b'b', 0), (b'a', 0), (b'README', 0)]
    """
    keys = [key_of(member.name) for member in members]
    seen, repeated = set[bytes](), set[bytes]()
    for key, member in zip(keys, members, strict=True):
        if member.name in seen:
            repeated.add(key)
        seen.add(member.name)
    found, last, names = [], b"", set[bytes]()
    numbers: dict[bytes, int] = {}
    for key, member in zip(keys, members, strict=True):
        if key in repeated and (key != last or member.name in names):
            numbers[key] = numbers.get(key, -1) + 1
            names = set()
        names.add(member.name)
        found.append((key, numbers.get(key, 0)))
        last = key
    return found


def key_of(name: bytes) -> bytes:
    """Return the key of the sample that a name belongs to; a name without a dot is its own.

    Examples
    --------
    >>> key_of(b"a/1.seg.png"), key_of(b"a.b/1"), key_of(b"a/.hidden")
    (b'a/1', b'a.b/1', b'a/.hidden')
    """
    match = _NAME.fullmatch(name)
    return match["key"] if match else name
