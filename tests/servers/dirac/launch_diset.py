"""Run a DIRAC component on loopback only; run by the server's Python.

Run as ``python launch_diset.py service|executor|agent NAME... [DIRAC's options]``. DIRAC would
listen on every interface, and its agents would wait 10 s and more between two cycles.
"""

from __future__ import annotations

import importlib
import runpy
import socket
import sys
import time
import types
from pathlib import Path

from DIRAC.Core.DISET.private.Transports import M2SSLTransport
from DIRAC.Core.Utilities import ThreadScheduler

_CYCLE = 0.2  # seconds, at least, from one cycle of an agent to the next
_LONGEST_SLEEP = 1.0  # seconds, of a JobAgent that found no job


def listen_on_loopback() -> None:
    transport = M2SSLTransport.SSLTransport
    original = transport.initAsServer

    def connection(self):
        context = self._SSLTransport__ctx
        return M2SSLTransport.SSL.Connection(context, family=socket.AF_INET)

    def init_as_server(self):
        self.stServerAddress = ("127.0.0.1", self.stServerAddress[1])
        # DIRAC would open an IPv6 socket.
        self._SSLTransport__getConnection = types.MethodType(connection, self)
        return original(self)

    transport.initAsServer = init_as_server


def hurry_agents() -> None:
    scheduler = ThreadScheduler.ThreadScheduler
    original = scheduler.__init__

    def init(self, enableReactorThread=True, minPeriod=60):  # noqa: N803
        original(self, enableReactorThread, _CYCLE)

    scheduler.__init__ = init
    job_agent = importlib.import_module("DIRAC.WorkloadManagementSystem.Agent.JobAgent")
    hurried = types.SimpleNamespace(**vars(time))
    hurried.sleep = lambda seconds: time.sleep(min(seconds, _LONGEST_SLEEP))
    job_agent.time = hurried


if __name__ == "__main__":
    kind = sys.argv.pop(1)
    listen_on_loopback()
    runpy.run_path(str(Path(__file__).with_name("reconnect.py")))
    if kind == "agent":
        hurry_agents()
    script = importlib.import_module(f"DIRAC.Core.scripts.dirac_{kind}")
    sys.argv[0] = f"dirac-{kind}"
    sys.exit(script.main())
