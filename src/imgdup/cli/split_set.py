"""Divide a set with the options of `imgdup split`; write the lists and print the result."""

import sys
from collections.abc import Sequence
from pathlib import Path

from imgdup.cli.labelled import labelled_set
from imgdup.cli.options import check_new
from imgdup.cli.prepare import match_rule, open_index, widened
from imgdup.cli.printing import note, write_text
from imgdup.cli.set_groups import SplitLists, SplitOptions
from imgdup.dedupe.split import Share, parse_ratios, split
from imgdup.output import NEWLINE, NUL, cell_text, counted
from imgdup.output.cleaning import save_split
from imgdup.system.paths import absolute

N_DEVIATIONS = 5  # that are printed of the shares of labels


def split_set(
    folders: Sequence[str], index_folder: Path | None, options: SplitOptions, lists: SplitLists
) -> int:
    """Divide the images of folders, or of an index; return 3 if files failed, else 0."""
    ratios = parse_ratios(options.ratios)
    rule = match_rule(
        options.max_dist,
        "more pictures are kept together, also different ones",
        orientations=options.orientations,
    )
    check_new((lists.out / f"{name}.txt" for name in ratios), force=lists.force)
    index, code = open_index(folders, index_folder, allow_removals=options.allow_removals)
    name = ", ".join(folders) or str(index.folder)
    inside = [absolute(folder) for folder in folders]
    chosen = labelled_set(index, name, inside, options.labels)
    if options.max_dist is None:
        rule = widened(rule, [(chosen.rows, chosen.images)])
    stratify = bool(options.stratify)
    division = split(chosen, ratios, stratify=stratify, seed=options.seed, rule=rule)
    save_split(lists.out, index.rows, division, NUL if lists.null else NEWLINE)
    n_lists = len(division.names)
    write_text(map(_share_line, division.shares[:n_lists]))
    _print_deviations(division.shares[n_lists:])
    chained, chains = counted(division.n_chained, "image"), counted(division.n_chains, "chain")
    note(f"{chained} in {chains}; no chain is divided")
    return code


def _print_deviations(shares: Sequence[Share]) -> None:
    """Print the shares of labels that are the furthest from their ratios, the worst first."""
    deviating = [share for share in shares if share.deviation]
    worst = sorted(deviating, key=lambda share: -share.deviation)[:N_DEVIATIONS]
    if worst:
        n_labels = len({share.label for share in shares})
        write_text([f"largest deviations of {counted(n_labels, 'label')}:\n"])
        write_text(map(_share_line, worst))


def _share_line(share: Share) -> str:
    """Format the number of images of a list and its share of all images."""
    label = "" if share.label is None else f"  {cell_text(share.label, sys.stdout.encoding)}"
    ratio = f"{share.share:7.2%} ({share.ratio:.2%} requested)"
    number, noun = counted(share.n_images, "image").split()
    name = cell_text(share.name, sys.stdout.encoding)
    return f"{name:<8} {number:>9} {noun:<6}  {ratio}{label}\n"
