"""Strategies of Hypothesis for paths and for files as a plan describes them."""

from hypothesis import strategies as st

from imgdup.dedupe.plan import FileFacts

names = st.binary(min_size=1, max_size=8).filter(
    lambda name: not {b"/", b"\0"} & {bytes([b]) for b in name} and name not in (b".", b"..")
)
paths = st.lists(names, min_size=1, max_size=3).map(lambda parts: b"/" + b"/".join(parts))
facts = st.builds(
    FileFacts,
    st.integers(0, 2**40),
    paths,
    st.integers(0, 2**63 - 1),
    st.integers(-(2**63) + 1, 2**63 - 1),
    st.binary(min_size=16, max_size=16),
    st.just("blake3"),
)
