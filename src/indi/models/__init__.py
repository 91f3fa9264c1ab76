"""Models as files: checkpoints, those that ship, and the hub."""
