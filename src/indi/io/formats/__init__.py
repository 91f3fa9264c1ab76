"""Formats of files, one or a few modules each."""
