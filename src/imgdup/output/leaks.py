"""Write the result of `imgdup compare` as evidence: JUnit XML, Markdown, and a paragraph.

Each form says what was compared, with which limits, what such a comparison can miss, and whether
it passes. Names of files and labels are escaped in all of them.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from xml.etree import ElementTree

from imgdup.dedupe.candidates import WIDE_MATCH, WIDE_SEARCH, MatchRule
from imgdup.dedupe.compare import Leak
from imgdup.dedupe.decide import MAX_CANDIDATES
from imgdup.dedupe.leaks import Coverage, Gate
from imgdup.hashing import MATCH_BITS, MATCH_MAX_DISTANCE
from imgdup.images.gray import ORIENTATIONS
from imgdup.output import counted, shown

MAX_ROWS = 50  # leaks that are listed in Markdown; a job summary has room for 1 MB
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# In a cell of Markdown, all but these may mean something: an emphasis, a link, a mention.
MARKUP = re.compile(r"[^\w /.,;%()+=-]|_|(?<=www)\.", re.IGNORECASE)


class Evidence(NamedTuple):
    """A comparison, and how it was made."""

    gate: Gate  # the leaks, how much was compared, and the limits
    rule: MatchRule  # what counts as near
    verified: bool  # whether the pictures were compared
    command: str  # the command line
    date: str  # when it was made, ISO 8601
    version: str  # of imgdup


def leak_count(gate: Gate) -> str:
    """Write how many images leak, and how many of these were accepted.

    This is the sentence that each form begins with.
    """
    n_leaks, images_b = len(gate.accepted), gate.coverages[1]
    text = f"{n_leaks:,} of {counted(images_b.n_images, 'image')} of {_name(images_b)} "
    text += f"{'has' if n_leaks == 1 else 'have'} a duplicate in {_name(gate.coverages[0])}"
    n_accepted = n_leaks - gate.n_new
    return f"{text}; {n_accepted:,} accepted" if n_accepted else text


def coverage_text(each: Coverage) -> str:
    """Write how much of a set was compared.

    Examples
    --------
    >>> coverage_text(Coverage("test", (b"/test",), "", 96, 3, 4, 0, 0))
    'test: 100 files, 4 could not be read, 3 with too little structure (compared by bytes only)'
    """
    parts = [f"{_name(each)}: {counted(each.n_files, 'file')}"]
    if each.n_failed:
        parts.append(f"{each.n_failed:,} could not be read")
    if each.n_undecoded:
        parts.append(f"{each.n_undecoded:,} of formats that are not decoded")
    if each.n_low_quality:
        parts.append(f"{each.n_low_quality:,} with too little structure (compared by bytes only)")
    if each.n_unlisted:
        parts.append(f"{counted(each.n_unlisted, 'folder')} not scanned")
    return ", ".join(parts if len(parts) > 1 else [*parts, "all compared"])


def failures(gate: Gate) -> Iterator[str]:
    """Yield the reasons why a gate fails, each as a line."""
    if gate.has_too_many_leaks:
        noun = "new leak" if any(gate.accepted) else "leak"
        yield f"{counted(gate.n_new, noun)}, more than --max-leaks {gate.max_leaks}"
    for each in gate.coverages:
        if not gate.is_covered(each):
            yield _coverage_failure(gate, each)


def _coverage_failure(gate: Gate, each: Coverage) -> str:
    if each.n_unlisted:
        return f"{counted(each.n_unlisted, 'folder')} of {_name(each)} could not be scanned"
    share = 100 * each.n_unread / each.n_files
    return (
        f"{each.n_unread:,} of {counted(each.n_files, 'file')} of {_name(each)} ({share:.3g} %) "
        f"could not be read, more than --max-unread {gate.max_unread}"
    )


def finds(rule: MatchRule, *, verified: bool) -> str:
    """Write what a comparison looks for.

    Examples
    --------
    >>> finds(MatchRule(20), verified=False)
    'Looked for: files of equal bytes; pictures whose match hashes differ in at most 20 of 256 \
bits. The pictures themselves were not compared.'
    """
    near = f"pictures whose match hashes differ in at most {rule.max_distance} of {MATCH_BITS} bits"
    if rule.max_distance >= MATCH_MAX_DISTANCE:
        near += ", such as pictures that were saved again, resized, blurred, brightened, or "
        near += "cropped by up to 2 %"
    parts = ["Looked for: files of equal bytes", near]
    if rule.orientations:
        parts.append("the same rotated by quarter turns, or mirrored")
    if rule.wide:
        parts.append(
            f"pictures whose match hashes differ in at most {WIDE_MATCH} bits and whose search "
            f"hashes differ in at most {WIDE_SEARCH}, such as pictures with a small logo or text; "
            "copies with large letters at the top and the bottom, or with a flat border; and crops "
            "by up to 5 % of each side"
        )
    compared = "were compared, and pairs that are different were left out"
    text = "; ".join(parts)
    return f"{text}. The pictures themselves {compared if verified else 'were not compared'}."


def misses(evidence: Evidence) -> str:
    """Write what a comparison can miss."""
    turned = "by other angles" if evidence.rule.orientations else "or mirrored"
    added = "much of them covered" if evidence.rule.wide else "a text, a logo or a frame added"
    text = (
        f"Can miss: copies that are cropped more, rotated {turned}, distorted, or have {added}. "
        "Does not look for: other photos of the same scene."
    )
    n_low = sum(each.n_low_quality for each in evidence.gate.coverages)
    if n_low:
        text += (
            f" {counted(n_low, 'picture')} with too little structure can only match equal bytes."
        )
    if evidence.verified:
        text += f" Each image was compared with the {MAX_CANDIDATES} nearest ones at most."
    n_unread = sum(each.n_unread for each in evidence.gate.coverages)
    if n_unread:
        text += f" {counted(n_unread, 'file')} could not be read and may hold more leaks."
    return text


def details(evidence: Evidence) -> list[tuple[str, str]]:
    """Return how a comparison was made, as names and values."""
    gate = evidence.gate
    limits = [
        f"{option} {limit}"
        for option, limit in (("--max-leaks", gate.max_leaks), ("--max-unread", gate.max_unread))
        if limit is not None
    ]
    found = [("result", "; ".join([leak_count(gate), *failures(gate)]))]
    for letter, each in zip("AB", gate.coverages, strict=True):
        found += [
            (f"set {letter}", coverage_text(each)),
            (f"folder of {letter}", ", ".join(map(shown, each.folders))),
            (f"digest of the index of {letter}", each.digest),
        ]
    return [
        *found,
        ("limits", ", ".join(limits) or "none"),
        ("command", shown(os.fsencode(evidence.command))),
        ("date", evidence.date),
        ("made by", f"imgdup {evidence.version}"),
    ]


def junit(evidence: Evidence) -> str:
    """Write a JUnit report: a test case for each limit, and one for each leak.

    A test case fails if it is a reason why the gate fails, and is skipped if its leak was accepted.
    """
    gate, cases = evidence.gate, []
    reasons = list(failures(gate))
    if gate.max_leaks is not None:
        reason = reasons.pop(0) if gate.has_too_many_leaks else ""
        cases.append(_case("limits", "leaks", reason, leak_count(gate)))
    for letter, each in zip("AB", gate.coverages, strict=True):
        reason = "" if gate.is_covered(each) else reasons.pop(0)
        cases.append(
            _case("limits", f"files of {letter} that were read", reason, coverage_text(each))
        )
    for leak, accepted in zip(gate.leaks.each(), gate.accepted, strict=True):
        reason = _leak_text(leak) if gate.has_too_many_leaks and not accepted else ""
        case = _case(leak.relation, _valid(shown(leak.path)), reason, _leak_text(leak))
        if accepted:
            ElementTree.SubElement(case, "skipped", message="accepted by --accept")
        cases.append(case)
    counts = {
        "tests": len(cases),
        "failures": sum(case.find("failure") is not None for case in cases),
        "skipped": sum(gate.accepted),
    }
    facts = {"name": "imgdup compare", "timestamp": evidence.date}
    facts |= {name: str(number) for name, number in counts.items()}
    suite = ElementTree.Element("testsuite", facts)
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in [*details(evidence), *abilities(evidence)]:
        ElementTree.SubElement(properties, "property", name=name, value=_valid(value))
    suite.extend(cases)
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, "unicode", xml_declaration=True) + "\n"


def _case(kind: str, name: str, reason: str, output: str) -> ElementTree.Element:
    """Make a test case; it fails if there is a reason."""
    case = ElementTree.Element("testcase", classname=f"imgdup.compare.{kind}", name=name)
    if reason:
        ElementTree.SubElement(case, "failure", message=_valid(reason))
    ElementTree.SubElement(case, "system-out").text = _valid(output)
    return case


def _valid(text: str) -> str:
    """Escape the characters that neither XML nor HTML can hold."""
    return NOT_XML.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _leak_text(leak: Leak) -> str:
    turned = f", {leak.orientation}" if leak.orientation != ORIENTATIONS[0] else ""
    text = f"{leak.relation}, {counted(leak.distance, 'bit')}{turned}: {shown(leak.duplicate_of)}"
    if leak.conflict is None:
        return text
    own, other = (shown(os.fsencode(each or "")) for each in (leak.label, leak.conflict_label))
    return f"{text}; label {own}, but {other}: {shown(leak.conflict)}"


def abilities(evidence: Evidence) -> list[tuple[str, str]]:
    """Return what the comparison can find and can miss, as names and values."""
    looked_for = finds(evidence.rule, verified=evidence.verified)
    pairs = (text.split(": ", 1) for text in (looked_for, misses(evidence)))
    return [(name.lower(), value) for name, value in pairs]


def markdown(evidence: Evidence) -> str:
    """Write a summary in Markdown, with the first leaks in a table."""
    gate = evidence.gate
    heading = f"imgdup compare: {gate.verdict}" if gate.verdict else "imgdup compare"
    lines = [f"## {heading}", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {_plain(value)} |" for name, value in details(evidence)]
    lines += [f"| {name} | {value} |" for name, value in abilities(evidence)]
    leaks = list(zip(gate.leaks.each(), gate.accepted, strict=True))
    if leaks:
        lines += [
            "",
            "| image | duplicate | relation | bits | labels | |",
            "|---|---|---|---|---|---|",
        ]
        lines += [_markdown_row(*each) for each in leaks[:MAX_ROWS]]
    if len(leaks) > MAX_ROWS:
        lines += ["", f"... and {len(leaks) - MAX_ROWS:,} more"]
    return "\n".join(lines) + "\n"


def _markdown_row(leak: Leak, accepted: bool) -> str:
    labels = ""
    if leak.conflict is not None:
        labels = f"{_label(leak.label)} but {_label(leak.conflict_label)}"
    cells: Sequence[str] = (
        _code(leak.path),
        _code(leak.duplicate_of),
        leak.relation,
        f"{leak.distance}",
        labels,
        "accepted" if accepted else "",
    )
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    return MARKUP.sub(lambda match: f"&#{ord(match[0])};", _valid(text))


def _code(path: bytes) -> str:
    return f"<code>{_plain(shown(path))}</code>"


def _label(label: str | None) -> str:
    return _plain(shown(os.fsencode(label or "")))


def card(evidence: Evidence) -> str:
    """Write a paragraph in Markdown for the card of a data set."""
    gate = evidence.gate
    a, b = gate.coverages
    relations = Counter(verdict.relation for verdict in gate.leaks.verdicts)
    kinds = ", ".join(f"{name} {number:,}" for name, number in relations.most_common())
    compared = (
        f"On {evidence.date[:10]}, {counted(b.n_images, 'image')} of {_set(b)} were compared with "
        f"{counted(a.n_images, 'image')} of {_set(a)} by imgdup {evidence.version}"
    )
    n_leaks = len(gate.accepted)
    if not n_leaks:
        result = f"No image of {_set(b)} has a duplicate in {_set(a)}"
    else:
        share = 100 * n_leaks / b.n_images
        result = f"{counted(n_leaks, 'image')} ({share:.3g} %) of {_set(b)} "
        result += f"{'has' if n_leaks == 1 else 'have'} a duplicate in {_set(a)} ({kinds})"
    n_conflicts = gate.leaks.n_conflicts
    if n_conflicts:
        result += f", {n_conflicts:,} of them with another label"
    digests = f"Digests of the indexes: {a.digest} ({_set(a)}), {b.digest} ({_set(b)})."
    sentences = (
        f"**Leakage.** {compared}.",
        f"{result}.",
        finds(evidence.rule, verified=evidence.verified),
        misses(evidence),
        digests,
        f"Command: <code>{_plain(shown(os.fsencode(evidence.command)))}</code>",
    )
    return " ".join(sentences) + "\n"


def _name(each: Coverage) -> str:
    return shown(os.fsencode(each.name))


def _set(each: Coverage) -> str:
    return f"<code>{_plain(_name(each))}</code>"
