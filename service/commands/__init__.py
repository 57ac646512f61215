"""The commands of ``headrace``, a file for each group. Each imports what it runs only when it runs."""
