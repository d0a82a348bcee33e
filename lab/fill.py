#!/usr/bin/python3
"""Fills a domain with people and groups, always the same ones for the same parameters.

    fill.py SMB_CONF PARAMETERS_JSON        (see DEFAULTS; prints a JSON summary)

Works offline on the database of a stopped domain controller, through the full module stack, so that
USNs, GUIDs, SIDs and replication metadata are those of a living one. GUIDs and SIDs are random.

Deliberate difficulties (when "difficulties" is true) are named in the summary under "expected": what
a synchronisation must accept, and what it must refuse item by item because the interface's patterns
for names do not allow it.
"""

import json
import random
import sys
import time

import ldb
import samba
from samba.auth import system_session
from samba.credentials import Credentials
from samba.param import LoadParm
from samba.samdb import SamDB

DEFAULTS = {
    "users": 100,
    "groups": 10,
    "memberships": 300,
    "seed": 1,
    "big_group": True,
    "difficulties": True,
}
BATCH = 10_000
# Above 1,500: the number of values after which a Windows DC answers a multi-valued attribute in ranges.
BIG_GROUP_MEMBERS = 1_600
NORMAL_ACCOUNT = 0x200
ACCOUNT_DISABLED = 0x2
# Global security group, MS-ADTS 2.2.12.
GLOBAL_SECURITY_GROUP = -2147483646
# DSDB_CONTROL_BYPASS_PASSWORD_HASH_OID: unicodePwd holds the NT hash itself, which saves the
# Kerberos key derivation and with it 95 % of the time.
HASH_CONTROL = "local_oid:1.3.6.1.4.1.7165.4.3.12:0"

GIVEN = (
    "Анна Борис Вера Глеб Дарья Егор Жанна Иван Ксения Лев Anna Bernd Clara David Eva Felix Greta Hugo Ida Jan"
).split()
FAMILY = (
    "Иванова Петров Смирнова Кузнецов Попова Müller Schmidt Weber Fischer Wagner Becker Schulz Hoffmann Koch Bauer"
).split()
UNITS = [
    ("Germany",),
    ("Germany", "Berlin"),
    ("Germany", "Berlin", "Research, Development"),
    ("Russia",),
    ("Russia", "Москва"),
    ("Russia", "Москва", "Отдел продаж"),
    ("Service+Support",),
    ("Alumni",),
]
# Relative names that have to be escaped in DNs or filters, or are just unusual.
SPECIAL_NAMES = [
    "Comma, Carl",
    "Plus+Paula",
    'Quote "Quentin"',
    "Backslash\\Bob",
    "Less<Lena>",
    "Semi;Sam",
    "Equals=Emil",
    "#Hash Hanna",
    "Slash/Sven",
    "Star*Stella",
    "Brackets (Bruno)",
    " Leading Leo",
    "Trailing Tina ",
    "Emoji \U0001f427 Erik",
    "Ёлкина-Щукина Ъ",
    "O'Connor Shane",
    "Null\\00 Nora",
    "X" * 64,
]


def password(number):
    return f"Pw-{number:06d}-xYz!"


def nt_hash(number):
    credentials = Credentials()
    credentials.set_password(password(number))
    return credentials.get_nt_hash()


def person(db, unit, number, rnd):
    """An ordinary person; the name of the account, the mail address and the password follow the number."""
    given, family = rnd.choice(GIVEN), rnd.choice(FAMILY)
    account = f"u{number:06d}"
    domain = db.domain_dns_name()
    return {
        "dn": child(db, unit, "CN", f"{given} {family} {number:06d}"),
        "objectClass": "user",
        "sAMAccountName": account,
        "userPrincipalName": f"{account}@{domain}",
        "givenName": given,
        "sn": family,
        "displayName": f"{given} {family} {number:06d}",
        "mail": f"{account}@{domain}",
        "telephoneNumber": f"+49 30 {number:07d}",
        "department": f"Department {number % 40}",
        "title": f"Engineer {number % 7}",
        "employeeID": f"E{number:07d}",
        "company": "Corp AG",
        "l": "Berlin",
        "userAccountControl": str(NORMAL_ACCOUNT),
        "unicodePwd": nt_hash(number),
        # Without it the user "must change the password at next logon".
        "pwdLastSet": str(samba.unix2nttime(int(time.time()) - 3600)),
    }


def child(db, parent, kind, name):
    """DN of a new child; ldb escapes the name."""
    dn = ldb.Dn(db, f"{kind}=x")
    dn.set_component(0, kind, name)
    dn.add_base(ldb.Dn(db, str(parent)))
    return dn


class Filling:
    def __init__(self, db, parameters):
        self.db = db
        self.parameters = parameters
        self.rnd = random.Random(parameters["seed"])
        self.base = db.domain_dn()
        self.number = 0
        self.members = []
        self.count = {"users": 0, "groups": 0, "units": 0, "memberships": 0, "disabled": 0, "expired": 0}
        self.expected = {"refused_users": [], "refused_groups": [], "special_users": []}

    def add_units(self):
        units = []
        for path in UNITS:
            dn = ldb.Dn(self.db, f"OU=People,{self.base}")
            for name in path:
                dn = child(self.db, dn, "OU", name)
            self.db.add({"dn": dn, "objectClass": "organizationalUnit"})
            units.append(dn)
        self.count["units"] = len(units)
        return units

    def add_user(self, unit, **changes):
        """Adds the next person; a change to None takes the attribute away, "name" is the relative name."""
        self.number += 1
        message = person(self.db, unit, self.number, self.rnd)
        name = changes.pop("name", None)
        if name is not None:
            message["dn"] = child(self.db, unit, "CN", name)
        for attribute, value in changes.items():
            message[attribute] = value
            if value is None:
                del message[attribute]
        self.db.add(message, controls=[HASH_CONTROL])
        self.members.append(str(message["dn"]))
        self.count["users"] += 1
        return message["sAMAccountName"]

    def add_special_users(self, units):
        """Returns how many it made."""
        before = self.number
        for name in SPECIAL_NAMES:
            account = self.add_user(units[0], name=name, displayName=name)
            self.expected["special_users"].append(account)
        domain = self.db.domain_dns_name()
        refused = [
            ("no user principal name", {"userPrincipalName": None}),
            ("no display name", {"displayName": None}),
            ("Cyrillic login", {"userPrincipalName": f"пётр.иванов@{domain}"}),
            ("plus in login", {"userPrincipalName": f"plus+tag@{domain}"}),
            ("apostrophe in login", {"userPrincipalName": f"o'brian@{domain}"}),
        ]
        for why, changes in refused:
            account = self.add_user(units[-1], **changes)
            self.expected["refused_users"].append({"account": account, "why": why})
        return self.number - before

    def add_users(self, units):
        """In batches: one transaction for all of 50,000 would need several gigabytes."""
        left = self.parameters["users"]
        while left > 0:
            self.db.transaction_start()
            batch = min(left, BATCH)
            made = 0
            if self.number == 0 and self.parameters["difficulties"] and left >= 50:
                made = self.add_special_users(units)
            for _ in range(batch - made):
                changes = {}
                if self.number % 20 == 7:
                    changes["userAccountControl"] = str(NORMAL_ACCOUNT | ACCOUNT_DISABLED)
                    self.count["disabled"] += 1
                if self.number % 50 == 11:
                    changes["accountExpires"] = str(samba.unix2nttime(int(time.time()) - 86400))
                    self.count["expired"] += 1
                self.add_user(self.rnd.choice(units), **changes)
            self.db.transaction_commit()
            left -= batch

    def add_group(self, parent, name, account, members, **changes):
        message = {
            "dn": child(self.db, parent, "CN", name),
            "objectClass": "group",
            "sAMAccountName": account,
            "groupType": str(GLOBAL_SECURITY_GROUP),
            "description": f"Group {name}"[:200],
            **changes,
        }
        if members:
            message["member"] = members
        self.db.add(message)
        self.count["groups"] += 1
        self.count["memberships"] += len(members)
        return str(message["dn"])

    def add_special_groups(self, parent):
        """Two of one name, names that do not fit the interface, and nested groups in a circle."""
        second = child(self.db, parent, "OU", "Second")
        self.db.add({"dn": second, "objectClass": "organizationalUnit"})
        self.count["units"] += 1
        some = self.members[:3]
        self.add_group(parent, "operators", "operators", some)
        self.add_group(second, "operators", "operators-second", some)
        self.expected["refused_groups"].append({"name": "operators", "why": "one of two groups with this name"})
        for why, name in [
            ("Cyrillic", "Бухгалтерия"),
            ("space", "Sales Team"),
            ("leading digit", "1st-level"),
            ("comma", "Research, Development"),
            ("longer than 63", "g" + "o" * 63),
        ]:
            account = f"special-{len(self.expected['refused_groups'])}"
            self.add_group(parent, name, account, some)
            self.expected["refused_groups"].append({"name": name, "why": why})
        inner = self.add_group(parent, "nested-inner", "nested-inner", some)
        outer = self.add_group(parent, "nested-outer", "nested-outer", [inner])
        message = ldb.Message(ldb.Dn(self.db, inner))
        message["member"] = ldb.MessageElement([outer], ldb.FLAG_MOD_ADD, "member")
        self.db.modify(message)
        self.count["memberships"] += 1
        return 9

    def add_groups(self):
        wanted = self.parameters["groups"]
        if wanted == 0:
            return
        parent = ldb.Dn(self.db, f"OU=Groups,{self.base}")
        self.db.transaction_start()
        if self.parameters["difficulties"] and wanted >= 10 and self.members:
            wanted -= self.add_special_groups(parent)
        left = max(0, self.parameters["memberships"] - self.count["memberships"])
        if self.parameters["big_group"] and wanted > 0 and len(self.members) > BIG_GROUP_MEMBERS:
            self.add_group(parent, "everybody", "everybody", self.rnd.sample(self.members, BIG_GROUP_MEMBERS))
            left = max(0, left - BIG_GROUP_MEMBERS)
            wanted -= 1
        for number in range(wanted):
            size = left // (wanted - number)
            members = self.rnd.sample(self.members, min(size, len(self.members)))
            left -= len(members)
            self.add_group(parent, f"group-{number:05d}", f"group-{number:05d}", members)
        self.db.transaction_commit()


def main():
    conf, text = sys.argv[1:3]
    parameters = {**DEFAULTS, **json.loads(text)}
    unknown = set(parameters) - set(DEFAULTS)
    if unknown:
        sys.exit(f"fill.py: unknown parameters: {sorted(unknown)}")
    loaded = LoadParm()
    loaded.load(conf)
    # Without batch_mode every addition copies the index: the time grows with the square.
    options = ["batch_mode:1", "nosync:1", "transaction_index_cache_size:500000"]
    db = SamDB(url=loaded.private_path("sam.ldb"), session_info=system_session(), lp=loaded, options=options)
    filling = Filling(db, parameters)
    filling.add_users(filling.add_units())
    filling.add_groups()
    summary = {"parameters": parameters, "count": filling.count, "expected": filling.expected}
    json.dump(summary, sys.stdout, ensure_ascii=False, indent=1)


main()
