#!/usr/bin/python3
"""Gives a freshly provisioned domain what Rollcall needs: units, an account to synchronise with, its rights.

    prepare.py SMB_CONF SYNC_PASSWORD

Works offline on the database of a stopped domain controller. Invariant: the account svc-sync gets
exactly the rights that the operating guide asks an administrator for, nothing more, so that a test
that passes here passes with a delegated account.
"""

import sys

import ldb
from samba.auth import system_session
from samba.dcerpc import security
from samba.ndr import ndr_pack, ndr_unpack
from samba.param import LoadParm
from samba.samdb import SamDB

SYNC_ACCOUNT = "svc-sync"
# Schema and rights identifiers: MS-ADTS 5.1.3.2.1 (control access rights), MS-ADSC, MS-ADA.
GET_CHANGES = "1131f6aa-9c07-11d1-f79f-00c04fc2dcd2"
GET_CHANGES_ALL = "1131f6ad-9c07-11d1-f79f-00c04fc2dcd2"
GET_CHANGES_IN_FILTERED_SET = "89e95b76-444d-4c62-991a-0facbeda640c"
RESET_PASSWORD = "00299570-246d-11d0-a768-00aa006e0529"
CHANGE_PASSWORD = "ab721a53-1e2f-11d0-9819-00aa0040529b"
ATTRIBUTE_PWD_LAST_SET = "bf967a0a-0de6-11d0-a285-00aa003049e2"
ATTRIBUTE_LOCKOUT_TIME = "28630ebf-41d5-11d1-a9c1-0000f80367c1"
CLASS_USER = "bf967aba-0de6-11d0-a285-00aa003049e2"


def grant(db, dn, aces):
    """Puts `aces` (SDDL) at the head of the access list of `dn`, which may be a hidden container."""
    controls = ["show_deleted:1"]
    found = db.search(base=dn, scope=ldb.SCOPE_BASE, attrs=["nTSecurityDescriptor"], controls=controls)
    descriptor = ndr_unpack(security.descriptor, found[0]["nTSecurityDescriptor"][0])
    sddl = descriptor.as_sddl()
    first = sddl.index("(")
    sddl = sddl[:first] + "".join(aces) + sddl[first:]
    packed = ndr_pack(security.descriptor.from_sddl(sddl, security.dom_sid(db.get_domain_sid())))
    message = ldb.Message(ldb.Dn(db, dn))
    message["sd"] = ldb.MessageElement(packed, ldb.FLAG_MOD_REPLACE, "nTSecurityDescriptor")
    db.modify(message, controls=controls)


def relax_password_policy(db):
    """Tests change passwords often and lock accounts on purpose (three bad ones)."""
    message = ldb.Message(ldb.Dn(db, db.domain_dn()))
    for name, value in (("minPwdAge", "0"), ("maxPwdAge", "0"), ("lockoutThreshold", "3")):
        message[name] = ldb.MessageElement(value, ldb.FLAG_MOD_REPLACE, name)
    db.modify(message)


def register_services(db, parameters):
    """What samba_spnupdate registers once the server runs: without it Kerberos knows no ldap service."""
    host = parameters.get("netbios name")
    full = f"{host}.{parameters.get('realm')}".lower()
    found = db.search(base=db.domain_dn(), expression=f"(sAMAccountName={host}$)", attrs=["servicePrincipalName"])
    present = {str(name).lower() for name in found[0].get("servicePrincipalName", [])}
    wanted = [f"ldap/{name}" for name in (full, host) if f"ldap/{name}".lower() not in present]
    if not wanted:
        return
    message = ldb.Message(found[0].dn)
    message["spn"] = ldb.MessageElement(wanted, ldb.FLAG_MOD_ADD, "servicePrincipalName")
    db.modify(message)


def main():
    conf, sync_password = sys.argv[1:3]
    parameters = LoadParm()
    parameters.load(conf)
    db = SamDB(url=parameters.private_path("sam.ldb"), session_info=system_session(), lp=parameters)
    base = db.domain_dn()

    relax_password_policy(db)
    register_services(db, parameters)
    for unit in ("Service", "People", "Groups"):
        db.create_ou(f"OU={unit},{base}")
    db.newuser(SYNC_ACCOUNT, sync_password, userou="OU=Service")
    db.setexpiry(f"(sAMAccountName={SYNC_ACCOUNT})", 0, no_expiry_req=True)

    found = db.search(base=base, expression=f"(sAMAccountName={SYNC_ACCOUNT})", attrs=["objectSid"])
    sid = str(ndr_unpack(security.dom_sid, found[0]["objectSid"][0]))
    rights = (GET_CHANGES, GET_CHANGES_ALL, GET_CHANGES_IN_FILTERED_SET)
    grant(db, base, [f"(OA;;CR;{right};;{sid})" for right in rights])
    controls = [f"(OA;CI;CR;{right};{CLASS_USER};{sid})" for right in (RESET_PASSWORD, CHANGE_PASSWORD)]
    writes = (ATTRIBUTE_PWD_LAST_SET, ATTRIBUTE_LOCKOUT_TIME)
    controls += [f"(OA;CI;WP;{attribute};{CLASS_USER};{sid})" for attribute in writes]
    grant(db, f"OU=People,{base}", controls)
    # List and read: without it DirSync silently leaves out deleted objects for a delegated account.
    grant(db, f"CN=Deleted Objects,{base}", [f"(A;;RPLC;;;{sid})"])


main()
