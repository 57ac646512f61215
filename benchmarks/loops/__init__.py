"""What a user would otherwise run: a client's bare poll, and loops that learn, each a program of its own.

``table.py`` names them all and imports none, because each runs in the environment of its library; ``running.py`` runs
them. A new one is a module with ``run``, written as that library's documentation suggests, and an entry in the table.
"""
