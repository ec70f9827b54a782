"""Files, locks, limits and streams: what the operating system gives."""
