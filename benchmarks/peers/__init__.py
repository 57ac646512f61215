"""Other streaming libraries, and this project's learners, behind one interface (``competitor.py``).

``table.py`` names them all and imports none: each family runs in an environment of its own. A new one is an entry there
and a line in its family's module.
"""
