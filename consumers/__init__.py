"""Events → microbatches. Knows nothing of learning. Start reading at ``source.py``."""
