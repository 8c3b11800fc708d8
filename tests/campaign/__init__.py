"""Bad inputs of every kind, given to the real commands, and what the commands make of them.

    python -m tests.campaign --cases 2000 --seed 0

A case writes its inputs into a folder of its own and names a command line; it runs in a process forked from one that
has all libraries loaded, with limits on time and memory. Each answer is classified (`verdicts.py`); the same seed
gives the same cases.
"""
