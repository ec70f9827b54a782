"""The command query: indexed images near others."""

import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imgdup.cli.listed import named_or_listed
from imgdup.cli.options import (
    GATE,
    Distance,
    Number,
    OutputFile,
    false_pairs_option,
    gathered,
    index_option,
    json_option,
    open_found,
    verify_option,
)
from imgdup.cli.printing import (
    from_here,
    note,
    note_path,
    on_terminal,
    terminal_width,
    write_bytes,
    write_table,
    write_text,
)
from imgdup.cli.search_groups import QueryOutputs, Search
from imgdup.errors import ImageError, UsageError
from imgdup.output import counted, shown
from imgdup.output.results import (
    MatchRow,
    match_json,
    match_lines,
    match_nulls,
    match_table,
    with_verdict,
)
from imgdup.system.paths import absolute, check_exists

if TYPE_CHECKING:
    from imgdup.api.index import ImageIndex
    from imgdup.build.tally import Tally
    from imgdup.dedupe.relations import Verdict
    from imgdup.query.match import Match
    from imgdup.query.matches import FileMatches

    Judged = Iterable[tuple[Match, Verdict | None]]

COMPARED_TOGETHER = 64  # probes whose pictures are compared with those of their matches
STRATEGIES = ("tree", "bands", "scan")  # a test compares them with planner.STRATEGIES
DIFFERENT = "different"  # this one with that of relations
HASHES = ("search", "match", "pdq")  # and these with query.match.HASHES


@click.command()
@click.argument("probes", nargs=-1, required=True, metavar="PROBE...")
@index_option
@click.option(
    "--max-dist",
    type=Distance(),
    help="Largest distance in bits, inclusive, of the search hash or the one that --by names. "
    "Default: 10 for 64 bits, 31 for 256.",
)
@click.option(
    "--by",
    type=click.Choice(HASHES),
    help="Look up this hash alone. Default: search, and match within 31 bits; with -k, search.",
)
@false_pairs_option
@click.option(
    "-k",
    type=Number(min=1),
    help="Find the k nearest, regardless of distance unless --max-dist is given.",
)
@json_option
@verify_option
@click.option("--orientations", is_flag=True, help="Also look up each PROBE rotated and mirrored.")
@click.option(
    "--null",
    is_flag=True,
    help="Print only paths, NUL-separated; with - as PROBE, the list is NUL-separated too.",
)
@click.option(
    "--max-duplicates",
    type=Number(min=0),
    help="Exit with 4 if the index has more duplicates of the PROBEs; a PROBE itself does not "
    "count.",
)
@click.option(
    "--montage",
    type=OutputFile(".png", ".jpg", ".jpeg"),
    metavar="FILE",
    help="Draw the matches to a .png or .jpg file.",
)
@click.option(
    "--strategy", type=click.Choice(STRATEGIES), help="Search strategy; the result is the same."
)
@click.option(
    "--explain",
    is_flag=True,
    help="Print the estimated cost of each strategy, and the actual cost.",
)
@gathered(Search, "search")
@gathered(QueryOutputs, "outputs")
def query(
    probes: tuple[str, ...], index_folder: Path | None, search: Search, outputs: QueryOutputs
) -> int:
    """Find the indexed images near each PROBE: an image, a folder, or - for a list on stdin.

    Prints the distance, the match distance, by which hash the image was found, whether it is a
    duplicate, the size and the path of each match, nearest first.

    \b
    imgdup query photo.jpg --max-dist 10
    """
    from imgdup.build import roots, sources, tally as tallying
    from imgdup.query import default_distance, hash_bits, matches

    index = open_found(index_folder)
    for root in index.generation.missing_roots():
        note_path(root, f"this indexed folder is missing. {roots.IF_MOVED}")
    by, generation = search.by or "search", index.generation
    search.check(hash_bits(generation, by), default_distance(generation, by))
    if generation.is_pack:
        _check_pack(index, outputs.montage, verify=search.verify)
    tally, seen = tallying.Tally(), _Seen(index, search)
    named = map(partial(sources.files_named_by, tally=tally), _named(probes, null=outputs.null))
    files, distance = search.limited(index, chain.from_iterable(named))
    options = matches.QueryOptions(
        distance, search.k, search.strategy, search.orientations, search.by
    )
    report = note if search.explain else None
    rows = seen.rows(matches.query_files(generation, files, options, report=report))
    found = list(rows) if outputs.montage or outputs.max_duplicates is not None else rows
    _print(found, matches.looked_up(generation, options), outputs)
    if outputs.montage:
        from imgdup.output.montage import save_montage

        save_montage(outputs.montage, found, probes=seen.read)
    code = seen.exit_code(tally)
    if (most := outputs.max_duplicates) is not None and seen.n_duplicates > most:
        several = counted(seen.n_duplicates, "duplicate")
        note(f"imgdup: FAIL: {several} in the index, more than --max-duplicates {most}")
        return GATE
    return code


def _named(probes: Sequence[str], *, null: bool) -> Iterable[bytes]:
    """Return the paths that the probes name; raise UsageError if one does not exist."""
    for probe in probes:
        if probe != "-":
            check_exists(probe)
    return named_or_listed(probes, null)


def _check_pack(index: "ImageIndex", montage: Path | None, *, verify: bool) -> None:
    """Print that pictures of a hash pack cannot be compared; refuse to draw them."""
    if montage:
        raise UsageError(f"--montage: {index.folder} is a hash pack, without pictures to draw")
    if verify:
        pack = f"{index.folder} is a hash pack, without pictures to compare"
        note(f"{pack}: matches of other bytes are unverified", warns=True)


class _Seen:
    """The probes that could and could not be read, collected while their matches are printed.

    Of duplicates, the row of the probe itself does not count, nor does a picture that was compared
    and is different.
    """

    def __init__(self, index: "ImageIndex", search: Search) -> None:
        self.read: list[bytes] = []
        self.failures: list[tuple[bytes, ImageError]] = []
        self.n_duplicates = 0
        self._n_matches = 0
        self._index = index
        self._search = search

    def rows(self, answers: "Iterable[FileMatches]") -> Iterator[MatchRow]:
        """Yield the matches of each probe, as rows to print."""
        judged = _not_compared(answers)
        if self._search.verify:
            judged = _compared(self._index, answers, is_wide=self._search.is_wide)
        for answer, found in judged:
            if answer.error is not None:
                self.failures.append((answer.file, answer.error))
                continue
            probe = absolute(answer.file)
            self.read.append(probe)
            for match, verdict in found:
                path = self._index.rows.path(match.row)
                orientation = match.orientation if self._search.orientations else None
                is_probe = path == probe
                others = (is_probe, orientation, match.pdq_distance, match.found_by)
                self._n_matches += 1
                is_different = verdict is not None and verdict.relation == DIFFERENT
                self.n_duplicates += match.duplicate and not is_probe and not is_different
                row = MatchRow(probe, path, *match[1:6], *others)
                yield row if verdict is None else with_verdict(row, verdict)

    def exit_code(self, tally: "Tally") -> int:
        """Name what could not be read; return 3 if some could, 1 if none could, 0 if all could."""
        encoding = sys.stderr.encoding
        if not (self.read or self.failures):
            note("no images found")
        elif on_terminal() and self.read and not self._n_matches:
            note("no match")
        for path, error in self.failures:
            note(f"imgdup: {shown(path, encoding)}: {error.reason}: {error.detail}")
        for folder, reason in tally.unlisted:
            note(f"imgdup: {shown(folder, encoding)}: not searched ({reason})")
        if self.failures or tally.unlisted:
            return 3 if self.read else 1
        return 0


def _not_compared(answers: "Iterable[FileMatches]") -> "Iterator[tuple[FileMatches, Judged]]":
    for answer in answers:
        yield answer, ((match, None) for match in answer.matches)


def _compared(
    index: "ImageIndex", answers: "Iterable[FileMatches]", *, is_wide: bool
) -> "Iterator[tuple[FileMatches, Judged]]":
    """Compare the picture of each probe with those of its matches with the nearest match hashes.

    What only the wide rule finds is left out if it differs. Of a pack, bytes are compared.
    """
    from imgdup.dedupe import sources, verify, wide

    rows, is_pack = index.rows, index.generation.is_pack
    look_up = wide.wide_lookup(index.generation, rows) if is_wide and not is_pack else None
    if is_wide and not is_pack and look_up is None:
        note("the index is too large to look for edited, framed and cropped copies as well")

    with verify.Verifier(None if is_pack else index.folder) as verifier:
        compare = sources.compare_bytes if is_pack else verifier.compare
        rest, n_beyond = iter(answers), 0
        while some := list(islice(rest, COMPARED_TOGETHER)):
            matches = [list(answer.matches) for answer in some]
            if look_up is not None:
                matches = wide.with_wide_ones(matches, look_up([answer.probe for answer in some]))
            compared = [wide.nearest_by_match(found) for found in matches]
            pairs: list[tuple[sources.File, sources.File]] = []
            for answer, found, which in zip(some, matches, compared, strict=True):
                if answer.probe is not None:
                    path = absolute(answer.file)
                    file = sources.file_of_probe(answer.probe, rows.digest_kind, path)
                    near = (match.row for match in found if match.row in which)
                    pairs += [(sources.file_of_row(rows, row), file) for row in near]
            n_beyond += sum(map(len, matches)) - len(pairs)
            verdicts = iter(compare(pairs))
            for answer, found, which in zip(some, matches, compared, strict=True):
                judged = (
                    (match, next(verdicts) if match.row in which else sources.UNKNOWN)
                    for match in found
                )
                yield answer, [each for each in judged if not wide.is_only_proposed(*each)]
    if n_beyond:
        most, others = wide.MOST_COMPARED_MATCHES, counted(n_beyond, "match", "matches")
        note(
            f"{others} unverified: of a PROBE, the {most} with the nearest match hash are compared"
        )


def _print(matches: Iterable[MatchRow], hashes: Collection[str], outputs: QueryOutputs) -> None:
    """Print matches for another program, or on a terminal; `hashes` are those looked up."""
    if outputs.as_json:
        write_text(match_json(matches))
    elif outputs.null:
        write_bytes(match_nulls(matches))
    elif not on_terminal():
        write_bytes(match_lines(matches))
    else:
        near = [match._replace(path=from_here(match.path)) for match in matches]
        extra = ["by"] if len(hashes) > 1 else []
        if [*hashes] == ["pdq"]:
            extra = ["pdq"]
        width, encoding = terminal_width(), sys.stdout.encoding
        write_table([match_table(near, extra=extra, width=width, encoding=encoding)])
