"""Batches of files -> one answer for every file, from processes that may die."""
