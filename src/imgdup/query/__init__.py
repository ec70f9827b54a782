"""Search an index: matches of probes, and pairs of rows."""
