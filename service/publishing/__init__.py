"""How parameters go from a trainer to the servers, without a lock.

The faces are ``service/publication.py`` (one side) and ``service/predictor.py`` (the other).
"""
