"""The routes of the REST API, what they take and what they answer.

``service/api.py`` puts them together, ``serving.py`` runs them.
"""
