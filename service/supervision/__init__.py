"""``headrace up``: child processes that are started again when they die. Start at ``supervisor.py``."""
