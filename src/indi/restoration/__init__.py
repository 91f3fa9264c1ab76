"""Restoring: arrays, files, stacks and clusters."""
