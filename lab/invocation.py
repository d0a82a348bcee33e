#!/usr/bin/python3
"""Gives a stopped domain controller another invocation, as a proper restore from a backup does.

    invocation.py SMB_CONF

What it writes from then on is its own again, and others do not mistake it for what it wrote before
(MS-ADTS 3.1.1.1.9).
"""

import sys
import uuid

import ldb
from samba.auth import system_session
from samba.param import LoadParm
from samba.samdb import SamDB


def main():
    parameters = LoadParm()
    parameters.load(sys.argv[1])
    db = SamDB(url=parameters.private_path("sam.ldb"), session_info=system_session(), lp=parameters)
    message = ldb.Message(ldb.Dn(db, db.get_dsServiceName()))
    value = uuid.uuid4().bytes_le
    message["id"] = ldb.MessageElement(value, ldb.FLAG_MOD_REPLACE, "invocationId")
    db.modify(message, controls=["relax:0", "provision:0"])


main()
