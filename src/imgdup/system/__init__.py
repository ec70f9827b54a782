"""Files, locks and limits of the operating system."""
