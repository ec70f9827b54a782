"""The service and its page: search an index, review duplicates, decide, and get a plan."""
