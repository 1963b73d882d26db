"""Tuning on equal terms: search spaces, studies shared by any number of processes, and suites of all methods."""
