#!/usr/bin/python3
"""Reads all password hashes of a domain with Samba's own replication client: the bare baseline.

    replicate.py SMB_CONF ADDRESS ACCOUNT PASSWORD      (prints JSON: seconds, objects, hashes, links, pages)

Signs in by NTLM, asks for unicodePwd, pwdLastSet and userAccountControl, and decrypts every hash.
"""

import json
import sys
import time

from samba import drs_utils
from samba.credentials import DONT_USE_KERBEROS, Credentials
from samba.dcerpc import drsuapi, misc
from samba.net import Net
from samba.param import LoadParm

# DRS_INIT_SYNC and DRS_WRIT_REP (MS-DRSR 5.41).
FLAGS = 0x30
OBJECTS_PER_PAGE = 1000
ATTRIBUTES = (
    drsuapi.DRSUAPI_ATTID_unicodePwd,
    drsuapi.DRSUAPI_ATTID_pwdLastSet,
    drsuapi.DRSUAPI_ATTID_userAccountControl,
)


def request(domain, position, invocation):
    attributes = drsuapi.DsPartialAttributeSet()
    attributes.version = 1
    attributes.attids = list(ATTRIBUTES)
    attributes.num_attids = len(ATTRIBUTES)
    name = drsuapi.DsReplicaObjectIdentifier()
    name.dn = domain
    made = drsuapi.DsGetNCChangesRequest8()
    made.destination_dsa_guid = misc.GUID()
    made.source_dsa_invocation_id = invocation
    made.naming_context = name
    made.highwatermark = position
    made.uptodateness_vector = None
    made.replica_flags = FLAGS
    made.max_object_count = OBJECTS_PER_PAGE
    made.max_ndr_size = 0
    made.extended_op = 0
    made.fsmo_info = 0
    made.partial_attribute_set = attributes
    made.partial_attribute_set_ex = None
    made.mapping_ctr.num_mappings = 0
    made.mapping_ctr.mappings = None
    return made


def decrypt(net, connection, page, count):
    entry = page.first_object
    while entry is not None:
        count["objects"] += 1
        for attribute in entry.object.attribute_ctr.attributes:
            is_password = attribute.attid == drsuapi.DRSUAPI_ATTID_unicodePwd
            if is_password and attribute.value_ctr.num_values:
                rid = int(str(entry.object.identifier.sid).rsplit("-", 1)[1])
                net.replicate_decrypt(connection, attribute, rid)
                count["hashes"] += 1
        entry = entry.next_object


def main():
    conf, address, account, password = sys.argv[1:5]
    parameters = LoadParm()
    parameters.load(conf)
    credentials = Credentials()
    credentials.guess(parameters)
    credentials.set_username(account)
    credentials.set_password(password)
    credentials.set_domain(parameters.get("workgroup"))
    credentials.set_kerberos_state(DONT_USE_KERBEROS)
    domain = ",".join("DC=" + part for part in parameters.get("realm").lower().split("."))

    started = time.monotonic()
    connection = drsuapi.drsuapi(f"ncacn_ip_tcp:{address}[seal]", parameters, credentials)
    handle, _ = drs_utils.drs_DsBind(connection)
    net = Net(credentials, parameters, address)
    count = {"objects": 0, "hashes": 0, "links": 0, "pages": 0}
    position, invocation, more = drsuapi.DsReplicaHighWaterMark(), misc.GUID(), True
    while more:
        _, page = connection.DsGetNCChanges(handle, 8, request(domain, position, invocation))
        decrypt(net, connection, page, count)
        count["links"] += page.linked_attributes_count
        count["pages"] += 1
        position, invocation = page.new_highwatermark, page.source_dsa_invocation_id
        more = page.more_data
    count["seconds"] = time.monotonic() - started
    print(json.dumps(count))


main()
