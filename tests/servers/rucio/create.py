"""Make the database of the server: the schema, accounts, scopes and storage elements.

Run by the Python that has Rucio's server, with the server's configuration; it reads what to make
as JSON from stdin.
"""

from __future__ import annotations

import json
import sys

from rucio.common.types import InternalAccount, InternalScope
from rucio.core import account, account_limit, identity, rse, scope
from rucio.db.sqla.constants import AccountType, IdentityType
from rucio.db.sqla.session import get_session
from rucio.db.sqla.util import build_database, create_base_vo, create_root_account

wanted = json.load(sys.stdin)
build_database()
create_base_vo()
create_root_account()
session = get_session()()
ids = {}
for name, element in wanted["rses"].items():
    ids[name] = rse.add_rse(name, session=session)
    for protocol in element["protocols"]:
        rse.add_protocol(ids[name], protocol, session=session)
    for key, value in element["attributes"].items():
        rse.add_rse_attribute(ids[name], key, value, session=session)
for name, user in wanted["accounts"].items():
    owner = InternalAccount(name)
    if name != "root":
        email = f"{name}@example.org"
        account.add_account(owner, AccountType.USER, email, session=session)
        kind = IdentityType.USERPASS
        identity.add_identity(name, kind, email, user["password"], session=session)
        identity.add_account_identity(name, kind, owner, email, default=True, session=session)
    for one in user["scopes"]:
        scope.add_scope(InternalScope(one), owner, session=session)
    for rse_name, limit in user["limits"].items():
        account_limit.set_local_account_limit(owner, ids[rse_name], limit, session=session)
session.commit()
