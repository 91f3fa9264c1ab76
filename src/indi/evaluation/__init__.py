"""Measuring: one model, several methods, and intervals."""
