"""Process batches of files in worker processes that may die: one answer for each file."""
