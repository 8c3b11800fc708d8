"""The store of facts: one SQLite file, read by any number of processes; nothing in a foreign one is trusted."""
