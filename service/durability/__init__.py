"""What is on disk, and whose it is: whole files, journal, segments and manifests, leases.

The faces are ``service/journal.py`` and ``service/checkpoints.py``.
"""
