"""Who may call the API, how much of it, and how fast: keys, roles, limits, TLS.

``gate.py`` is what every request passes first.
"""
