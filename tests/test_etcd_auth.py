# SPDX-License-Identifier: Apache-2.0
"""The same etcdctl commands about users and roles on etcd and on Oakum, and their output compared.

Users and roles are the whole cluster's, so this story has a pair of members of its own, and one
order. What must agree is what test_etcd_differential.py says; DIFFERENT is what is meant to differ.
"""
import pytest

from test_etcd_differential import Comparison

FLAGS = ["--bcrypt-cost", "4"]
ROOT = "--user root:rootpw "
ANN = "--user ann:annpw "
BOB = "--user bob:bobpw "

STORY = """
user list
role list
user get nobody
role get nobody
user delete nobody
role delete nobody
user grant-role nobody nothing
user revoke-role nobody nothing
role grant-permission nobody read k
role revoke-permission nobody k
auth disable
--user root:rootpw get k
auth enable
user add root:rootpw
user add root:rootpw
user add ann:annpw
user add bob:bobpw
user add none --no-password
user add :x
user list
role add app
role add app
role add other
role list
role grant-permission app readwrite app/ app0
role grant-permission app read shared
role grant-permission app write drop
role grant-permission app read app/ app0
role grant-permission app readwrite app/ app0
role grant-permission other readwrite z/ --prefix
role grant-permission other read y --from-key
role grant-permission other sideways k
role get app
role get other
role revoke-permission other nothing
role revoke-permission other z/ --prefix
role get other
role grant-permission other readwrite z/ --prefix
user grant-role ann app
user grant-role ann app
user grant-role ann other
user grant-role ann nothing
user grant-role bob other
user get ann
user get ann --detail
user get none
put app/0 x
put shared s
put secret s
user grant-role root root
auth enable
auth enable
get app/0
put app/0 y
--user nobody:x get app/0
--user ann:wrong get app/0
--user none:x get app/0
{ANN}get app/0
{ANN}put app/1 one
{ANN}put app/1 two --prev-kv
{ANN}get app/ app0
{ANN}get app/ app00
{ANN}get --prefix app/
{ANN}get --from-key app/
{ANN}get --from-key z/
{ANN}get --prefix ''
{ANN}get shared
{ANN}put shared x
{ANN}put drop x
{ANN}put drop x --prev-kv
{ANN}get drop
{ANN}del drop
{ANN}del drop --prev-kv
{ANN}del app/1 --prev-kv
{ANN}del app/ app00
{ANN}get secret
{ANN}put secret x
{ANN}del secret
{ANN}compact 3
{ANN}user list
{ANN}role list
{ANN}user get ann
{ANN}user get root
{ANN}role get app
{ANN}role get other
{ANN}user add eve:x
{ANN}user delete bob
{ANN}role add evil
{ANN}role grant-permission app readwrite k
{ANN}auth disable
{BOB}get z/1
{BOB}put z/1 x
{BOB}get app/0
{BOB}role get app
{ROOT}get secret
{ROOT}put secret t
{ROOT}del secret
{ROOT}user list
{ROOT}role list
{ROOT}user get bob
{ROOT}user get nobody
{ROOT}role get nothing
{ROOT}user delete root
{ROOT}user revoke-role root root
{ROOT}user revoke-role bob app
{ROOT}user revoke-role bob other
{BOB}get z/1
{ROOT}role delete other
{ROOT}user get ann
{ANN}get z/1
{ROOT}role revoke-permission app drop
{ANN}put drop x
{ROOT}user delete bob
{BOB}get z/1
{ROOT}user delete nobody
{ROOT}role delete nothing
{ROOT}role add root
{ROOT}role delete root
{ROOT}role get root
{ROOT}auth enable
{ROOT}auth disable
get app/0
user list
user delete root
auth enable
""".strip().replace("{ROOT}", ROOT).replace("{ANN}", ANN).replace("{BOB}", BOB).splitlines()

TXNS = [
    (ANN + "txn", 'ver("app/0") > "0"\n\nput app/0 x\n\nput app/2 y\n\n'),
    (ANN + "txn", 'ver("secret") > "0"\n\nput app/0 x\n\n\n'),
    (ANN + "txn", 'ver("app/0") > "0"\n\nput app/0 x\n\nput secret y\n\n'),
    (ANN + "txn", 'ver("app/0") > "0"\n\nput app/0 x\n\nget secret\n\n'),
    (ANN + "txn", 'val("shared") = "s"\n\nget shared\n\nget shared\n\n'),
    (ROOT + "txn", 'ver("secret") > "0"\n\nput secret x\n\nget secret\n\n'),
]
PASSWORDS = [
    (ROOT + "user passwd ann --interactive=false", "new\n"),
    (ANN + "get app/0", None),
    ("--user ann:new get app/0", None),
    (ROOT + "user passwd nobody --interactive=false", "new\n"),
    (ROOT + "user passwd ann --interactive=false", "annpw\n"),
]
AT = STORY.index(ROOT + "get secret")
STEPS = STORY[:AT] + TXNS + PASSWORDS + STORY[AT:]

# Lines that etcd 3.4 answers as later ones don't, which we follow (etcd-compatibility.md).
DIFFERENT = {ANN + "compact 3", ROOT + "role get root"}


@pytest.fixture(scope="module", params=("simple", "json"))
def pair(request, lasting_cluster, etcd_bin, etcdctl_bin):
    assert etcdctl_bin
    return request.param, Comparison(lasting_cluster(1, etcd_bin, flags=FLAGS),
                                     lasting_cluster(1, flags=FLAGS))


def test_etcdctl_gets_of_users_and_roles_what_etcd_gives(pair):
    form, comparison = pair
    report = []
    for step in STEPS:
        if isinstance(step, tuple) and step[1] is None:
            step = step[0]
        line = step[0] if isinstance(step, tuple) else step
        etcd, oakum = comparison.step(step, "", 0, form, 0)
        if (etcd == oakum) == (line in DIFFERENT):
            report += [f"$ etcdctl {line}", f"etcd:  {etcd}", f"oakum: {oakum}"]
    assert not report, "\n" + "\n".join(report)
