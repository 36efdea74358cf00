"""The Rucio client, in a separate process.

Run by path with the Python that has rucio-clients, so it imports nothing of this package but the
loop in ``client_process/serve.py``. Behaviour that is worked around here was seen with
rucio-clients 41.5.1.

A file is ``[scope, name]``; with its size and adler32 it is ``[scope, name, size, adler32]``. A
row, a dictionary, is what Rucio knows of a name: see ``rows``. Times are seconds since the epoch,
None for no time.
"""
