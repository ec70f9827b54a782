"""Arrays of hashes -> matches and pairs, exactly: usable alone."""
