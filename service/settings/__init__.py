"""The sections of the configuration: every setting, what it may be, and what is said where it is wrong.

``service/config.py`` puts them together.
"""
