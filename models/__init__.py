"""Examples → parameters. Knows nothing of transport. Start reading at ``learner.py``."""
