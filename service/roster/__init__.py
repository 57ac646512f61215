"""Which models there are: those that the configuration declares, and those that were added while the service ran.

Start at ``roster.py``; ``changing.py`` is what ``PUT`` and ``DELETE /v1/models/{model}`` do. See ADR 39.
"""
