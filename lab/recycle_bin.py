#!/usr/bin/python3
"""Switches the recycle bin of a domain on; a running controller sees it.

    recycle_bin.py SMB_CONF

Only the system itself may do it in Samba, so it works on the database directly.
"""

import sys

import ldb
from samba.auth import system_session
from samba.param import LoadParm
from samba.samdb import SamDB

# The recycle bin feature, MS-ADTS 3.1.1.9.1.
RECYCLE_BIN = "766ddcd8-acd0-445e-f3b9-a7f9b6744f2a"


def main():
    parameters = LoadParm()
    parameters.load(sys.argv[1])
    db = SamDB(url=parameters.private_path("sam.ldb"), session_info=system_session(), lp=parameters)
    message = ldb.Message(ldb.Dn(db, ""))
    value = f"CN=Partitions,{db.get_config_basedn()}:{RECYCLE_BIN}"
    message["feature"] = ldb.MessageElement(value, ldb.FLAG_MOD_ADD, "enableOptionalFeature")
    db.modify(message)


main()
