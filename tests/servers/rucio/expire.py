"""Let Rucio's daemons remove what has expired: names, then rules, then the bytes of replicas.

Run by the Python that has Rucio's server, with the server's configuration. Each daemon takes some
hundred at a time, so they run until nothing is left, or nothing more can be removed.
"""

from datetime import datetime

from rucio.daemons.judge import cleaner
from rucio.daemons.reaper import reaper
from rucio.daemons.undertaker import undertaker
from rucio.db.sqla import models
from rucio.db.sqla.session import get_session
from sqlalchemy import func, select


def left() -> list[int]:
    """Return how many names, rules and replicas have expired."""
    now = datetime.utcnow()
    ends = (
        models.DataIdentifier.expired_at,
        models.ReplicationRule.expires_at,
        models.RSEFileAssociation.tombstone,
    )
    session = get_session()()
    try:
        return [session.scalar(select(func.count()).where(end < now)) for end in ends]
    finally:
        session.close()


before, now = [], left()
while any(now) and now != before:
    before = now
    undertaker.run(once=True)
    cleaner.run(once=True, threads=1)
    reaper.run(threads=1, once=True, greedy=True, delay_seconds=0, chunk_size=1000)
    now = left()
