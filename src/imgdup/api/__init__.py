"""The library as objects: an index, its groups and plans, comparisons and splits of sets."""
