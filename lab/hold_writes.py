#!/usr/bin/python3
"""Keeps a running domain controller from writing, while it can still read.

    hold_writes.py SMB_CONF

Holds the lock of a transaction over the whole database from the line "held" on standard output until
standard input ends. A write of the controller waits for it, and so does everything after that write.
"""

import sys

from samba.auth import system_session
from samba.param import LoadParm
from samba.samdb import SamDB

loaded = LoadParm()
loaded.load(sys.argv[1])
db = SamDB(url=loaded.private_path("sam.ldb"), session_info=system_session(), lp=loaded)
db.transaction_start()
print("held", flush=True)
sys.stdin.read()
db.transaction_cancel()
