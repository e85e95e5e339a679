# SPDX-License-Identifier: Apache-2.0
"""certs.py: certificates for tests, by openssl's own program.

    authority = Authority(folder, "ca")
    alice = authority.issue("alice", names="DNS:localhost,IP:127.0.0.1")
    alice.crt, alice.key                # paths
    authority.revoke(alice)
    authority.list()                    # the path of a revocation list

Nothing is kept: each test makes its own in its folder.
"""
import dataclasses
import os
import subprocess

HERE = "DNS:localhost,IP:127.0.0.1"

CONFIG = """
[ca]
default_ca = own
[own]
new_certs_dir = {home}
database = {home}/index.txt
serial = {home}/serial
crlnumber = {home}/crlnumber
default_md = sha256
policy = any
unique_subject = no
copy_extensions = copy
default_days = 2
default_crl_days = 2
[any]
commonName = optional
organizationName = optional
[req]
distinguished_name = nobody
[nobody]
"""


def openssl(*words):
    done = subprocess.run(["openssl", *words], capture_output=True, text=True, check=False,
                          stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise AssertionError(f"openssl {' '.join(words)}: {done.stderr.strip()}")


@dataclasses.dataclass
class Pair:
    """A certificate and its key, as files."""
    crt: str
    key: str


class Authority:
    """Who signs, with the books that openssl keeps."""

    def __init__(self, folder, name="ca"):
        self.home = os.path.join(str(folder), name)
        os.makedirs(self.home)
        self.config = self.path("openssl.cnf")
        for file, text in (("openssl.cnf", CONFIG.format(home=self.home)), ("index.txt", ""),
                           ("serial", "1000\n"), ("crlnumber", "01\n")):
            with open(self.path(file), "w", encoding="ascii") as out:
                out.write(text)
        self.key = self.path("ca.key")
        self.crt = self.path("ca.crt")
        self._key_make(self.key)
        openssl("req", "-x509", "-new", "-config", self.config, "-key", self.key, "-subj",
                f"/CN=authority {name}", "-addext", "basicConstraints=critical,CA:TRUE",
                "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-days", "2", "-out", self.crt)

    def path(self, name):
        return os.path.join(self.home, name)

    @staticmethod
    def _key_make(path):
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path)

    def issue(self, name, common_name=None, names=HERE, usage="serverAuth,clientAuth",
              expired=False):
        """Sign a certificate in <name>.crt, which may be there already: then it is replaced."""
        pair = Pair(self.path(name + ".crt"), self.path(name + ".key"))
        request = self.path(name + ".csr")
        self._key_make(pair.key + ".new")
        extensions = ["-addext", f"extendedKeyUsage={usage}"]
        if names:
            extensions += ["-addext", f"subjectAltName={names}"]
        openssl("req", "-new", "-config", self.config, "-key", pair.key + ".new", "-subj",
                f"/CN={common_name or name}", *extensions, "-out", request)
        span = ["-startdate", "20200101000000Z", "-enddate", "20200102000000Z"] if expired else []
        openssl("ca", "-config", self.config, "-batch", "-notext", "-cert", self.crt, "-keyfile",
                self.key, "-in", request, *span, "-out", pair.crt + ".new")
        os.replace(pair.crt + ".new", pair.crt)
        os.replace(pair.key + ".new", pair.key)
        return pair

    def revoke(self, pair):
        openssl("ca", "-config", self.config, "-batch", "-cert", self.crt, "-keyfile", self.key,
                "-revoke", pair.crt)

    def list(self):
        """Write the list of what was revoked; the same path each time."""
        path = self.path("revoked.pem")
        openssl("ca", "-config", self.config, "-batch", "-cert", self.crt, "-keyfile", self.key,
                "-gencrl", "-out", path + ".new")
        os.replace(path + ".new", path)
        return path
