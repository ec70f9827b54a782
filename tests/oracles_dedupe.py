"""Slow twins of groups, chains, keep order, compare and split: they import nothing from imgdup.

A file is a plain object with the fields of ``array_rows.File``; everything is written down as the
README says it, file by file and pair by pair.
"""

import math
from fractions import Fraction
from functools import cache

import numpy as np

LOSSLESS = {"png", "bmp", "gif", "tiff"}


@cache
def turned_match(match):
    """Return the match hash of a picture in its eight orientations, sign by sign.

    Bit 16 u + v is the sign of the wave with u half waves down and v across. A mirror image has the
    other sign where v is odd, a picture upside down where u is odd.
    """
    found = []
    for transposed in (False, True):
        for flipped in (0, 1):
            for mirrored in (0, 1):
                turned = 0
                for u in range(16):
                    for v in range(16):
                        place = 16 * v + u if transposed else 16 * u + v
                        sign = match >> place & 1 ^ flipped * (u % 2) ^ mirrored * (v % 2)
                        turned |= sign << 16 * u + v
                found.append(turned)
    return tuple(found)


def match_distance(a, b, orientations=False):
    others = turned_match(b.match) if orientations else [b.match]
    return min((a.match ^ other).bit_count() for other in others)


def same_bytes(a, b):
    return (a.content, a.size) == (b.content, b.size)


def same_file(a, b):
    return a.inode == b.inode != 0 and same_bytes(a, b)


def are_duplicates(a, b, max_distance=31, search_distance=None, orientations=False, wide=False):
    if same_bytes(a, b):
        return True
    if min(a.quality, b.quality) < 50:
        return False
    match, search = match_distance(a, b, orientations), (a.search ^ b.search).bit_count()
    if wide and match <= 64 and search <= 3:
        return True
    if wide and min(without_borders(a, b)) <= max_distance:
        return True
    if wide and may_be_crops(a.match, b.match):
        return True
    return match <= max_distance and (search_distance is None or search <= search_distance)


def without_borders(a, b):
    """The distances of the match hashes if one or both pictures are taken without their border."""
    hashes = [[each.match, *([each.trimmed] if each.trimmed else [])] for each in (a, b)]
    return [(x ^ y).bit_count() for x in hashes[0] for y in hashes[1]]


CROPS = [(each,) * 4 for each in (0.015, 0.025, 0.04, 0.05)]
CROPS += [tuple(0.05 * (side == each) for side in range(4)) for each in range(4)]


@cache
def may_be_crops(a, b):
    """Whether the hash of a part of one picture, guessed by its signs, is like the other hash."""
    near = (a ^ b).bit_count() <= 72
    alike = False
    for whole, other in ((a, b), (b, a)):
        uncut = Fraction(sum(wrong_weights(whole, other, (0.0,) * 4)), total_weight(whole))
        for crop in CROPS:
            wrong = wrong_weights(whole, other, crop)
            near |= crop == (0.05,) * 4 and len(wrong) <= 68
            share = Fraction(sum(wrong), total_weight(whole, crop))
            alike |= share <= Fraction(130 if share <= uncut / 2 else 115, 1000)
    return near and alike


def wrong_weights(whole, other, crop):
    """The weights of the frequencies whose sign the other hash does not have."""
    guess = guessed_part(whole, crop)
    return [w for i, (positive, w) in enumerate(guess[1:], 1) if positive != other >> i & 1]


def total_weight(whole, crop=(0.0,) * 4):
    return sum(w for _, w in guessed_part(whole, crop))


@cache
def guessed_part(match, crop):
    """Of each frequency of a part of a picture: whether it is positive, and how much it weighs."""
    down, across = mixing(*crop[:2]), mixing(*crop[2:])
    whole = np.zeros((16, 16))
    for u in range(16):
        for v in range(16):
            size = round(1024 * (1 + u * u + v * v) ** -0.25)
            whole[u, v] = size if match >> (16 * u + v) & 1 else -size
    whole[0, 0] = 0
    part = np.einsum("ku,uv,lv->kl", down, whole, across)
    part[0, 0] = 0
    weights = np.minimum(np.rint(abs(part) * (1024 / abs(part).sum())), 15).astype(int)
    return list(zip((part > 0).ravel().tolist(), weights.ravel().tolist(), strict=True))


@cache
def mixing(before, after):
    """How much of wave u of a whole line is in wave k of its part, in whole 1024ths."""
    found = np.zeros((16, 16))
    for k in range(16):
        for u in range(16):
            total = 0
            for line in range(64):
                y = (line + 0.5) / 64
                x = before + (1 - before - after) * y
                total += math.cos(math.pi * k * y) * math.cos(math.pi * u * x)
            norm = math.sqrt(2 if k else 1) * math.sqrt(2 if u else 1)
            found[k, u] = round(1024 * norm * total / 64)
    return found


def stated_distance(a, b, orientations=False):
    """Equal bytes are distance 0, whatever two versions of a decoder made of them."""
    return 0 if same_bytes(a, b) else match_distance(a, b, orientations)


def parts(path):
    return path.split(b"/")


def below(path, folder):
    return parts(path)[: len(parts(folder))] == parts(folder)


RULES = {
    "largest": lambda file: -file.width * file.height,
    "smallest": lambda file: file.width * file.height,
    "most-bytes": lambda file: -file.size,
    "oldest": lambda file: file.mtime_ns,
    "newest": lambda file: -file.mtime_ns,
    "lossless": lambda file: file.format not in LOSSLESS,
    "shortest-path": lambda file: len(file.path),
    "first": lambda file: parts(file.path),
}


def worth_of_a_pixel(facts):
    """What share of the pixels counts in a picture that may have been enlarged."""
    detail = facts.detail
    is_clean = facts.quality >= 75 and not facts.toned
    if detail >= (0.77 if is_clean else 0.85):
        return 1
    if detail >= 0.485:
        return 0.2
    halvings = 0  # of the squared share of detail, to the nearest power of two
    while detail**2 * 2**halvings < 2**-0.5:
        halvings += 1
    return 2**-halvings / 3


def quality_of(facts, others):
    """Up to 75; 3 less than its source for a lossless copy of a lossy file, and for a toned one."""
    lossy = [each for each in others if not each.lossless]
    sources = [each.quality for each in lossy if each.pixels_digest == facts.pixels_digest]
    if facts.lossless and sources:
        return min(75, max(sources)) - 3
    is_copy = facts.lossless and facts.trace_quality is not None
    return min(75, facts.quality) - (3 if is_copy or facts.toned else 0)


def fact_keys(file, facts):
    """The keys by the rules that look into files; `facts` are those of all files, by path."""
    own, others = facts.get(file.path), [each for each in facts.values() if each is not None]
    pixels = file.width * file.height
    if own is None:
        return {"colour": 0, "not-upscaled": -pixels, "metadata": 1, "quality": 0}
    return {
        "colour": -["one-bit", "gray", "palette", "colour"].index(own.colour),
        "not-upscaled": -pixels * worth_of_a_pixel(own),
        "metadata": own.camera is None and own.taken_s is None,
        "quality": -quality_of(own, others),
    }


def keep_key(file, rules, protect, facts):
    looked_at = fact_keys(file, facts)
    keys = [not any(below(file.path, folder) for folder in protect)]
    for rule in rules:
        if rule.startswith("under:"):
            keys.append(not below(file.path, rule.removeprefix("under:").encode()))
        else:
            keys.append(looked_at[rule] if rule in looked_at else RULES[rule](file))
    return (*keys, parts(file.path))


def keep_order(files, rules, protect=(), facts=()):
    facts = dict(facts)
    return sorted(files, key=lambda file: keep_key(file, rules, protect, facts))


def deciding_rule(kept, removed, rules, protect, facts):
    """The first rule by which two files differ; the larger wins where neither was enlarged more."""
    both = {path: facts.get(path) for path in (kept.path, removed.path)}
    pairs = zip(*(keep_key(file, rules, protect, both) for file in (kept, removed)), strict=True)
    names = ["protect", *rules, "first"]
    name = next(name for name, (one, other) in zip(names, pairs, strict=True) if one != other)
    details = [1 if each is None else worth_of_a_pixel(each) for each in both.values()]
    return "largest" if name == "not-upscaled" and details[0] == details[1] else name


def one_name_each(ordered):
    """The first name of each file, and all names by file."""
    names = {}
    for file in ordered:
        names.setdefault(file.inode or file.path, []).append(file)
    return names


REMOVABLE = ("same-bytes", "same-pixels", "same-picture")


def content_of(file, search_distance=None, wide=False):
    """Files of one content have equal bytes and equal hashes, as far as hashes count."""
    uses_search = wide or search_distance is not None
    hashes = (file.match, file.search if uses_search else 0, file.trimmed if wide else 0)
    return (file.content, file.size, hashes if file.quality >= 50 else None)


def nearness(a, b, orientations=False):
    return stated_distance(a, b, orientations), 0 if same_bytes(a, b) else (
        a.search ^ b.search
    ).bit_count()


def star_groups(files, rules, protect=(), max_distance=31, search_distance=None, *,
                relation=lambda a, b: "same-picture", most=64, of_many=16,
                orientations=False, wide=False):  # fmt: skip
    """Return {path that goes: (path that stays, distance)}, by visiting contents one by one.

    ``relation(a, b)`` is what a comparison of two pictures finds, the better one first.
    """
    rule = (max_distance, search_distance, orientations, wide)
    names = one_name_each(keep_order([f for f in files if f.status == 0], rules, protect))
    contents, keeper, gone = {}, {}, {}
    for paths in names.values():
        content = content_of(paths[0], search_distance, wide)
        contents.setdefault(content, []).append(paths)
    ranked = [each[0][0] for each in contents.values()]
    for rank, file in enumerate(ranked):
        keeper[file.path] = file
        if any(below(file.path, folder) for folder in protect):
            continue
        better = [k for k in ranked[:rank] if are_duplicates(k, file, *rule)]
        better.sort(key=lambda k: (stated_distance(k, file, orientations), ranked.index(k)))
        near = better[:most]
        kept = {keeper[k.path].path: keeper[k.path] for k in near}.values()
        kept = [k for k in kept if are_duplicates(k, file, *rule)]
        kept.sort(key=lambda k: (*nearness(k, file, orientations), ranked.index(k)))
        for k in kept if len(near) < most else kept[:of_many]:
            if ((same_bytes(k, file) and "same-bytes") or relation(k, file)) in REMOVABLE:
                keeper[file.path] = k
                break
    for each in contents.values():
        head = each[0][0]
        keep = keeper[head.path]
        for paths in each:
            protected = any(below(paths[0].path, folder) for folder in protect)
            if not protected and (keep is not head or paths[0] is not head):
                distance = stated_distance(keep, paths[0], orientations)
                gone |= {f.path: (keep.path, distance) for f in paths}
    return gone


def chains(files, max_distance=31, search_distance=None, orientations=False, wide=False):
    """Return the connected components of two or more paths, as a set of frozensets."""
    files = [f for f in files if f.status == 0]
    component = {f.path: {f.path} for f in files}
    for i, a in enumerate(files):
        for b in files[:i]:
            linked = a.inode == b.inode != 0
            if linked or are_duplicates(a, b, max_distance, search_distance, orientations, wide):
                joined = component[a.path] | component[b.path]
                for path in joined:
                    component[path] = joined
    return {frozenset(c) for c in component.values() if len(c) > 1}


def leaks(a_files, b_files, max_distance=31, labels=None, is_different=lambda a, b: False,
          orientations=False, wide=False):  # fmt: skip
    """Return {path in B: (path in A, distance, conflict path or None)}, nearest first.

    ``is_different(a, b)`` is whether the pictures of two files of unequal bytes differ.
    """
    labels = labels or {}
    found = {}
    for b in sorted(b_files, key=lambda file: parts(file.path)):
        rule = (max_distance, None, orientations, wide)
        near = [a for a in a_files if are_duplicates(a, b, *rule)]
        near = [a for a in near if same_bytes(a, b) or not is_different(a, b)]
        near.sort(key=lambda a: (not same_file(a, b), not same_bytes(a, b),
                                 stated_distance(a, b, orientations), parts(a.path)))  # fmt: skip
        if not near:
            continue
        mine = labels.get(b.path)
        others = [a for a in near if mine and labels.get(a.path) not in (None, mine)]
        others.sort(key=lambda a: (stated_distance(a, b, orientations), parts(a.path)))
        conflict = others[0].path if others else None
        found[b.path] = (near[0].path, stated_distance(near[0], b, orientations), conflict)
    return dict(sorted(found.items(), key=lambda each: (each[1][1], parts(each[0]))))
