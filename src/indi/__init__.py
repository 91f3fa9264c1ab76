"""Restore images by Inversion by Direct Iteration (InDI)."""

__version__ = "0.1.0"
