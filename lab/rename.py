#!/usr/bin/python3
"""Renames or moves an object and everything below it.

    rename.py SMB_CONF OLD_DN NEW_DN

Works offline on the database of a stopped domain controller, through the full module stack. Over LDAP
Samba 4.17 renames every object below in one transaction whose index is copied at each step, which takes
minutes for ten thousand, and then gives up when it cannot find the target of a link again
("Indexed and full searches both failed"). In batch mode neither happens.
"""

import sys

from samba.auth import system_session
from samba.param import LoadParm
from samba.samdb import SamDB

conf, old, new = sys.argv[1:4]
loaded = LoadParm()
loaded.load(conf)
options = ["batch_mode:1", "nosync:1", "transaction_index_cache_size:500000"]
db = SamDB(url=loaded.private_path("sam.ldb"), session_info=system_session(), lp=loaded, options=options)
db.rename(old, new)
