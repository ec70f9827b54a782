"""Compare two sets with the options of `imgdup compare`; print and write the result."""

import os
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

from imgdup import __version__
from imgdup.cli import labelled, prepare
from imgdup.cli.options import GATE
from imgdup.cli.printing import (
    from_here,
    note,
    on_terminal,
    terminal_width,
    typed_command,
    write_bytes,
    write_table,
    write_text,
)
from imgdup.cli.set_groups import JOB_SUMMARY, Comparison, ComparisonOutputs, LeakLimits
from imgdup.dedupe.candidates import MatchRule
from imgdup.dedupe.compare import Leaks, compare
from imgdup.dedupe.leaks import Coverage, Gate, UnreadLimit, accepted_leaks, read_accepted, verified
from imgdup.dedupe.verify import Verifier
from imgdup.index.pack import is_pack
from imgdup.output.gallery import save_leaks
from imgdup.output.leaks import Evidence, abilities, card, coverage_text, failures, junit, markdown
from imgdup.output.progress import Bar
from imgdup.output.results import leak_json, leak_lines, leak_table, leaks_summary
from imgdup.system.files import common_mode, replacing


def compare_sets(
    names: tuple[str, str],
    places: Sequence[Path | None],
    comparison: Comparison,
    limits: LeakLimits,
    outputs: ComparisonOutputs,
) -> int:
    """Compare two sets; return 4 if a limit is exceeded, 3 if files failed, else 0.

    The names are those of folders, which are indexed first, or of index folders. The places are the
    index folder for both, that of A, and that of B.
    """
    comparison = _without_pictures(names, comparison)
    accepted = read_accepted(limits.accept) if limits.accept else set()
    rule = prepare.match_rule(
        comparison.max_dist,
        "more pictures are compared, which takes longer"
        if comparison.verify
        else "pictures that only resemble each other are listed, too",
        orientations=comparison.orientations,
    )
    both = labelled.two_sets(
        names, places, comparison.labels, allow_removals=comparison.allow_removals
    )
    if comparison.verify and comparison.max_dist is None:
        rule = prepare.widened(rule, [(each.rows, each.images) for each in both.sets])
    leaks = _leaks(both, rule, verify=comparison.verify)
    gate = _gate(leaks, both.coverages, limits, accepted_leaks(leaks, accepted))
    date = datetime.now(UTC).isoformat(timespec="seconds")
    evidence = Evidence(gate, rule, comparison.verify, typed_command(), date, __version__)
    if outputs.card:
        write_text([card(evidence)])
    else:
        _print_leaks(gate, with_accepted=limits.accept is not None, as_json=outputs.as_json)
    _print_result(evidence)
    _write(evidence, outputs)
    return GATE if gate.verdict == "FAIL" else both.code


def _without_pictures(names: tuple[str, str], comparison: Comparison) -> Comparison:
    """If a set is a hash pack, compare only hashes, and print that."""
    packs = [name for name in names if is_pack(Path(name))]
    if not packs or not comparison.verify:
        return comparison
    note(
        f"{packs[0]} is a hash pack, without pictures to compare: every image with a near hash "
        "counts as a leak, as unverified",
        warns=True,
    )
    return replace(comparison, verify=False)


def _leaks(both: labelled.TwoSets, rule: MatchRule, *, verify: bool) -> Leaks:
    """Find the leaks; `verify` means that their pictures are compared."""
    in_a, in_b = both.sets
    leaks = compare(in_a, in_b, rule)
    if not verify:
        return leaks
    with closing(Bar(quiet=False)) as bar, Verifier(both.folder) as verifier:
        judge = verifier.judge(in_a.rows, in_b.rows)
        return verified(leaks, rule, judge, progress=bar.compared)


def _gate(
    leaks: Leaks, coverages: Sequence[Coverage], limits: LeakLimits, accepted: Sequence[bool]
) -> Gate:
    """Return the result with its limits; where leaks are limited, every file must be read."""
    unread = limits.max_unread or (None if limits.max_leaks is None else ("0", False))
    limit = None if unread is None else UnreadLimit(Fraction(unread[0]), unread[1])
    return Gate(leaks, accepted, coverages, limits.max_leaks, limit)


def _print_leaks(gate: Gate, *, with_accepted: bool, as_json: bool) -> None:
    """Print leaks in the requested form, or the one that suits stdout."""
    if as_json:
        write_text(leak_json(gate.leaks.each(), gate.accepted if with_accepted else None))
    elif on_terminal():
        near = (
            leak._replace(
                path=from_here(leak.path),
                duplicate_of=from_here(leak.duplicate_of),
                conflict=leak.conflict and from_here(leak.conflict),
            )
            for leak in gate.leaks.each()
        )
        width = terminal_width()
        write_table(leak_table(near, width=width, encoding=sys.stdout.encoding))
    else:
        write_bytes(leak_lines(gate.leaks.each()))


def _print_result(evidence: Evidence) -> None:
    """Print on stderr how much was compared, the number of leaks, and whether the limits hold."""
    gate = evidence.gate
    for each in gate.coverages:
        if gate.verdict or each.n_unread or each.n_unlisted:
            note(coverage_text(each))
    if gate.verdict:
        for name, value in abilities(evidence):
            note(f"{name}: {value}")
    n_accepted = sum(gate.accepted)
    note(leaks_summary(gate.leaks) + (f", {n_accepted:,} accepted" if n_accepted else ""))
    for reason in failures(gate):
        note(f"imgdup: FAIL: {reason}")
    if gate.verdict == "PASS":
        note("PASS")


def _write(evidence: Evidence, outputs: ComparisonOutputs) -> None:
    """Write the files that were requested, as private as the pictures that they name."""
    leaks = evidence.gate.leaks
    if outputs.report is not None:
        save_leaks(outputs.report, evidence)
    for file, text_of in ((outputs.junit, junit), (outputs.markdown, markdown)):
        if file is None:
            continue
        data = text_of(evidence).encode()
        if file == outputs.markdown and os.environ.get(JOB_SUMMARY) == str(file):
            with file.open("ab") as summary:
                summary.write(data)
            continue
        named = (path for leak in leaks.each() for path in (leak.path, leak.duplicate_of))
        with replacing(file, needed_bytes=len(data), sync=False, mode=common_mode(named)) as out:
            out.write(data)
