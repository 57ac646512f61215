"""``headrace compare``: one stream through several learners, each tested at the same label delay."""
