"""Let Rucio's daemons remove what has expired: names, then rules, then the bytes of replicas.

Run by the Python that has Rucio's server, with the server's configuration. One process for all
three: each takes a second or two to start.
"""

from rucio.daemons.judge import cleaner
from rucio.daemons.reaper import reaper
from rucio.daemons.undertaker import undertaker

undertaker.run(once=True)
cleaner.run(once=True, threads=1)
reaper.run(threads=1, once=True, greedy=True, delay_seconds=0)
