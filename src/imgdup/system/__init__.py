"""Files, locks and limits: what the operating system gives."""
