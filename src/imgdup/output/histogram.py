"""Distances -> a histogram as SVG, by matplotlib, which is the extra ``plot``."""

import io
from collections.abc import Sequence
from typing import Any

SIZE_INCHES = (5.2, 1.9)
INK = "#7d8694"  # reads on white and on black
BAR = "#4f8ef7"
STYLE: dict[Any, Any] = {  # matplotlib lists 300 names as its type
    "svg.hashsalt": "imgdup",  # the same names inside for the same figure
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


def distance_histogram(distances: Sequence[int]) -> bytes | None:
    """Draw how many distances there are of each length.

    Parameters
    ----------
    distances : sequence of int
        In bits; at least one.

    Returns
    -------
    bytes or None
        An SVG document without a background, the same for the same distances; None where
        matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError:
        return None
    edges = [bits - 0.5 for bits in range(max(distances) + 2)]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=SIZE_INCHES, layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        axes.hist(distances, bins=edges, color=BAR, rwidth=0.85)
        axes.set(xlabel="distance in bits", ylabel="files")
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return buffer.getvalue()
