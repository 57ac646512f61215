"""``headrace replay`` and ``headrace demo``: labelled files as streams of events, with progress and scores."""
