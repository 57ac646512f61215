"""The label join: what was observed waits for its label, and a label for what it is of. Start with ``join.py``."""
