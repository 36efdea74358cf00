"""The DIRAC client, in a separate process.

Run by path with the Python that has DIRAC, so it imports nothing of this package but the loop in
``client_process/serve.py``. What DIRAC prints (its logger writes everything to stdout, errors
included; seen with 9.1.22) goes to the log.
"""
