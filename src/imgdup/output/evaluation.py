"""Show an evaluation: as text, as JSON, and as a self-contained HTML page with plots."""

import html
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from imgdup import __version__
from imgdup.dedupe.evaluate import NOT_FOUND, EditResult, Evaluation, HashResult
from imgdup.output import counted
from imgdup.output.page import INK, page_style, source_hash, template
from imgdup.output.results import relation_counts
from imgdup.output.tables import table
from imgdup.system.files import PUBLIC, replacing
from imgdup.system.records import json_line

COPY, OTHER, LIMIT = "#2f9e5b", "#d9603b", "#7d5bd0"  # read well on white and on black
RELATION_COLOURS: Mapping[str, str] = {
    "same-bytes": "#1d7f45",
    "same-pixels": "#2f9e5b",
    "same-picture": "#55b97a",
    "recoloured": "#e0b13c",
    "edited": "#e28a3a",
    "cropped": "#5a8fe0",
    "turned": "#8f6fd8",
    "different": "#c8443f",
    "unverified": "#8a909b",
}
WIDTH, HEIGHT = 560, 220  # of a plot, in units of SVG
LEFT, RIGHT, TOP, BOTTOM = 54, 12, 16, 38


def evaluation_json(found: Evaluation) -> str:
    """Write an evaluation as one JSON object."""
    record = {
        "images": found.n_images,
        "sampled": found.n_sampled,
        "failed": found.n_failed,
        "max_false_pairs": found.max_false_pairs,
        "hashes": {by: _hash_record(result, found) for by, result in found.hashes.items()},
        "edits": [_edit_record("edit", *each, found) for each in found.edits.items()],
        "labels": [_edit_record("label", *each, found) for each in found.labels.items()],
        "unread_pairs": found.n_unread,
    }
    return json_line(record)


def _hash_record(result: HashResult, found: Evaluation) -> dict[str, Any]:
    chance, n_pairs = result.chance, found.n_images * (found.n_images - 1) // 2
    seen = np.flatnonzero(result.different)
    return {
        "bits": result.bits,
        "default_distance": result.default_distance,
        "distance": result.distance,
        "different_pairs": int(result.different.sum()),
        "nearest_different": int(seen[0]) if len(seen) else None,
        "different_by_distance": {str(d): int(result.different[d]) for d in seen},
        "expected_false_pairs": chance and [_rounded(x * n_pairs) for x in chance.shares],
        "most_false_pairs": chance and [_rounded(x * n_pairs) for x in chance.upper],
        "nearest_relations": dict(result.relations),
    }


def _rounded(number: float) -> float:
    return float(f"{number:.3g}")


def _edit_record(what: str, name: str, result: EditResult, found: Evaluation) -> dict[str, Any]:
    record: dict[str, Any] = {what: name}
    for by, far in result.distances.items():
        of_hash = found.hashes.get(by)
        numbers = [None if d == NOT_FOUND else d for d in np.sort(far).tolist()]
        record[by] = {
            "pairs": len(far),
            "median": numbers[len(numbers) // 2] if numbers else None,
            "within_default": _share(far, of_hash and of_hash.default_distance),
            "within_distance": _share(far, of_hash and of_hash.distance),
            "by_distance": {
                str(d): int(n)
                for d, n in zip(*np.unique(far, return_counts=True), strict=True)
                if d != NOT_FOUND
            },
        }
    record["relations"] = dict(result.relations)
    return record


def _share(far: Sequence[int] | np.ndarray[Any, Any], distance: int | None) -> float | None:
    """Return the share of pairs within a distance; None if there are none, or no distance."""
    if distance is None or not len(far):
        return None
    return round(float(np.mean(np.asarray(far) <= distance)), 4)


def evaluation_table(found: Evaluation, *, width: int, encoding: str) -> Iterator[str]:
    """Lay out the share of copies within the default distances, and the relations found."""
    header = (*_hashes(found), "mostly", "edit")
    return table(header, _cells(found), width=width, encoding=encoding)


def evaluation_lines(found: Evaluation) -> Iterator[str]:
    """Write the same as lines separated by tabs."""
    for cells in _cells(found):
        yield "\t".join(cells) + "\n"


def _cells(found: Evaluation) -> Iterator[tuple[str, ...]]:
    for name, result in _all_results(found):
        shares = [
            _share(far, found.hashes[by].default_distance if by in found.hashes else None)
            for by, far in result.distances.items()
        ]
        yield (*map(_percent, shares), _mostly(result), name)


def _hashes(found: Evaluation) -> list[str]:
    return next(([*result.distances] for _, result in _all_results(found)), [*found.hashes])


def _all_results(found: Evaluation) -> Iterator[tuple[str, EditResult]]:
    yield from found.edits.items()
    for label, result in found.labels.items():
        yield f"pairs labelled {label}", result


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _mostly(result: EditResult) -> str:
    """Return the most frequent relation, and its share."""
    if not result.relations:
        return "-"
    name, number = max(result.relations.items(), key=lambda item: item[1])
    return f"{name} {100 * number / sum(result.relations.values()):.0f} %"


def reasons(found: Evaluation) -> Iterator[str]:
    """Explain for each hash, in one line, which distance to choose and why."""
    n_pairs = found.n_images * (found.n_images - 1) // 2
    for by, result in found.hashes.items():
        name = "PDQ" if by == "pdq" else by
        text = f"{name} hash: {counted(found.n_images, 'picture')}, {counted(n_pairs, 'pair')}. "
        seen = np.flatnonzero(result.different)
        if len(seen):
            n_different, n_compared = int(result.different.sum()), sum(result.relations.values())
            text += (
                f"Of {counted(n_different, 'pair')} in the sample that are no known duplicates, "
                f"the nearest is {counted(int(seen[0]), 'bit')} apart; the nearest "
                f"{n_compared:,}, compared: {relation_counts(result.relations)}. "
            )
        yield text + (
            "Pairs by chance are not estimated: nearly all distances of PDQ hashes are even."
            if by == "pdq"
            else _choice(result, found.max_false_pairs)
        )


def _choice(result: HashResult, max_false_pairs: float) -> str:
    if result.chance is None:
        return "The sample is too small to estimate how many pairs are near each other by chance."
    pairs, are = ("pair", "is") if max_false_pairs == 1 else ("pairs", "are")
    if result.distance is None:
        return (
            f"In the whole collection, more than {max_false_pairs:g} false {pairs} {are} expected "
            "at any distance."
        )
    return (
        f"In the whole collection, at most {max_false_pairs:g} false {pairs} {are} expected within "
        f"{counted(result.distance, 'bit')} (default: {result.default_distance})."
    )


def save_evaluation(path: Path, found: Evaluation) -> None:
    """Write the HTML page of an evaluation, either completely or not at all.

    The page has no picture and no path of the user. Raise ImgdupError if it cannot be written.
    """
    page = evaluation_html(found).encode()
    with replacing(path, needed_bytes=len(page), sync=False, mode=PUBLIC) as file:
        file.write(page)


def evaluation_html(found: Evaluation) -> str:
    """Return the page, a whole HTML document; the same evaluation gives the same text."""
    style = page_style() + template("evaluation.css")
    policy = f"default-src 'none'; style-src '{source_hash(style)}'"
    sections = "".join(_hash_section(by, result, found) for by, result in found.hashes.items())
    explained = "".join(f"<p>{html.escape(text)}</p>" for text in reasons(found))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Evaluation</title>\n<style>{style}</style>\n</head>\n<body>\n"
        f'<h1>Which distance?</h1>\n<dl class="summary">{_summary(found)}</dl>\n'
        f'<section class="reasons">{explained}</section>\n{sections}{_tables(found)}'
        f"<footer>Made by imgdup {html.escape(__version__)}</footer>\n</body>\n</html>\n"
    )


def _summary(found: Evaluation) -> str:
    facts = {
        "pictures": f"{found.n_images:,}",
        "edited": f"{found.n_sampled:,}",
        "not readable": f"{found.n_failed:,}",
        "false pairs accepted": f"{found.max_false_pairs:g}",
    }
    for by, result in found.hashes.items():
        facts[f"distance, {by} hash"] = "none" if result.distance is None else str(result.distance)
    return "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts.items())


def _hash_section(by: str, result: HashResult, found: Evaluation) -> str:
    plots = _shares_plot(by, result, found) + _chance_plot(result, found)
    return f'<section><h2>{_title(by)} hash</h2><div class="plots">{plots}</div></section>\n'


def _title(by: str) -> str:
    return by.upper() if by == "pdq" else by.capitalize()


def _shares_plot(by: str, result: HashResult, found: Evaluation) -> str:
    """Draw the shares of copies and of different pictures within each distance."""
    plot = _Plot(result.bits // 2, "distance in bits", "within the distance")
    for share in (0, 0.25, 0.5, 0.75, 1):
        plot.level(share, f"{share:.0%}")
    for edit in found.edits.values():
        plot.line(_within(edit.distances[by], result.bits), COPY, thin=True)
    everything = np.concatenate([edit.distances[by] for edit in found.edits.values()])
    plot.line(_within(everything, result.bits), COPY)
    n_different = max(1, int(result.different.sum()))
    plot.line((np.cumsum(result.different) / n_different).tolist(), OTHER)
    plot.mark(result.distance)
    legend = _legend({COPY: "copies (thin: one edit)", OTHER: "different pictures"})
    return _figure(plot, legend)


def _chance_plot(result: HashResult, found: Evaluation) -> str:
    """Draw how many false pairs are expected within each distance, on a logarithmic scale."""
    if result.chance is None:
        return ""
    n_pairs = found.n_images * (found.n_images - 1) / 2
    top = max(1, math.ceil(math.log10(max(10.0, n_pairs))))
    low = min(-2, math.floor(math.log10(found.max_false_pairs)))

    def height(number: float) -> float:
        return (max(low, math.log10(max(number, 1e-300))) - low) / (top - low)

    plot = _Plot(result.bits // 2, "distance in bits", "pairs expected by chance")
    for decade in range(low, top + 1, max(1, (top - low) // 5)):
        plot.level(height(10.0**decade), f"{10.0**decade:g}" if decade < 4 else f"1e{decade}")
    plot.line([height(share * n_pairs) for share in result.chance.shares], OTHER)
    plot.line([height(share * n_pairs) for share in result.chance.upper], OTHER, thin=True)
    plot.line([height(found.max_false_pairs)] * (result.bits + 1), LIMIT, thin=True)
    plot.mark(result.distance)
    names = {OTHER: "expected (thin: upper bound)", LIMIT: "accepted, and its distance"}
    return _figure(plot, _legend(names))


def _within(far: Any, bits: int) -> list[float]:
    """Return the share of pairs within each distance."""
    counts = np.bincount(np.minimum(far, bits + 1), minlength=bits + 2)
    return [float(n) / max(1, len(far)) for n in np.cumsum(counts)[: bits + 1]]


class _Plot:
    """A plot over distances, drawn in SVG; heights are shares from 0 to 1."""

    def __init__(self, n_bits: int, below: str, above: str) -> None:
        self.n_bits = n_bits
        self._drawn = [_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, below)]
        self._drawn.append(_text(LEFT, 10, above, "start"))
        for bits in range(0, n_bits + 1, n_bits // 8):
            self._drawn.append(_text(self._x(bits), HEIGHT - BOTTOM + 15, f"{bits}"))

    def _x(self, bits: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * bits / self.n_bits

    def _y(self, share: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share

    def level(self, share: float, text: str) -> None:
        y = self._y(share)
        self._drawn.append(_path(f"M{LEFT} {y:.1f}H{WIDTH - RIGHT}", INK, 0.25))
        self._drawn.append(_text(LEFT - 6, y + 4, text, "end"))

    def line(self, shares: Sequence[float], colour: str, *, thin: bool = False) -> None:
        points = [f"{self._x(i):.1f} {self._y(s):.1f}" for i, s in enumerate(shares)]
        self._drawn.append(
            _path("M" + "L".join(points[: self.n_bits + 1]), colour, 0.6 if thin else 2)
        )

    def mark(self, distance: int | None) -> None:
        if distance is not None and distance <= self.n_bits:
            path = f"M{self._x(distance):.1f} {TOP}V{HEIGHT - BOTTOM}"
            self._drawn.append(_path(path, LIMIT, 1.5))

    def svg(self) -> str:
        return (
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" font-family="sans-serif" '
            f'font-size="11" fill="{INK}">{"".join(self._drawn)}</svg>'
        )


def _text(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'


def _path(path: str, colour: str, width: float) -> str:
    return f'<path fill="none" stroke="{colour}" stroke-width="{width}" d="{path}"/>'


def _figure(plot: _Plot, legend: str) -> str:
    return f"<figure>{plot.svg()}<figcaption>{legend}</figcaption></figure>"


def _legend(names: Mapping[str, str]) -> str:
    """Return coloured squares with their meaning."""
    return "".join(f"<span>{_swatch(colour)}{name}</span>" for colour, name in names.items())


def _swatch(colour: str) -> str:
    return (
        f'<svg class="swatch" viewBox="0 0 1 1"><rect width="1" height="1" fill="{colour}"/></svg>'
    )


def _tables(found: Evaluation) -> str:
    heads = [
        "edit",
        *(f"{by} hash, {which}" for by in found.hashes for which in _distances(found, by)),
    ]
    cells = "".join(f"<th>{html.escape(head)}</th>" for head in [*heads, "compared pictures"])
    rows = "".join(_row(name, result, found) for name, result in _all_results(found))
    legend = _legend({colour: name for name, colour in RELATION_COLOURS.items()})
    return (
        "<section><h2>What is found of each edit</h2>"
        f'<table class="edits"><thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table>'
        f'<p class="legend">{legend}</p></section>\n'
    )


def _distances(found: Evaluation, by: str) -> list[str]:
    result = found.hashes[by]
    return [f"within {d} bits" for d in (result.default_distance, result.distance) if d is not None]


def _row(name: str, result: EditResult, found: Evaluation) -> str:
    cells = [f"<th>{html.escape(name)}</th>"]
    for by, known in found.hashes.items():
        for distance in (known.default_distance, known.distance):
            if distance is not None:
                cells.append(f"<td>{_percent(_share(result.distances[by], distance))}</td>")
    return f'<tr>{"".join(cells)}<td class="bar">{_bar(result.relations)}</td></tr>'


def _bar(relations: Mapping[str, int]) -> str:
    """Draw the share of each relation, side by side, with the numbers as a hint."""
    total, x, drawn = sum(relations.values()), 0.0, []
    for name, colour in RELATION_COLOURS.items():
        if width := 100 * relations.get(name, 0) / max(1, total):
            drawn.append(
                f'<rect x="{x:.2f}" width="{width:.2f}" height="10" fill="{colour}">'
                f"<title>{name}: {relations[name]:,} of {total:,}</title></rect>"
            )
            x += width
    return f'<svg viewBox="0 0 100 10" preserveAspectRatio="none">{"".join(drawn)}</svg>'
