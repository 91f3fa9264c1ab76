"""The mathematics: path, objectives, methods, samplers and noise."""
