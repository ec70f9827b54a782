"""Batches of files -> one answer for each file, from processes that may die."""
