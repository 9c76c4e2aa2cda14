"""The server's half of SCRAM-SHA-256 (RFC 7677) for one user. Knows no network."""

import base64
import hashlib
import hmac
import os
import stringprep
import unicodedata


def _hmac(key, message):
    return hmac.new(key, message, hashlib.sha256).digest()


def prepared(password):
    """SASLprep (RFC 4013), as the drivers do it."""
    mapped = "".join(" " if stringprep.in_table_c12(c) else c for c in password if not stringprep.in_table_b1(c))
    return unicodedata.normalize("NFKC", mapped)


class User:
    def __init__(self, name, password, iterations=15000):
        self.name, self.iterations, self.salt = name, iterations, os.urandom(28)
        salted = hashlib.pbkdf2_hmac("sha256", prepared(password).encode(), self.salt, iterations)
        self.stored_key = hashlib.sha256(_hmac(salted, b"Client Key")).digest()
        self.server_key = _hmac(salted, b"Server Key")


class Conversation:
    def __init__(self, user, first):
        """`first` is `n,,n=NAME,r=NONCE`."""
        header, _, self.first_bare = first.partition(b",,")
        fields = dict(part.split(b"=", 1) for part in self.first_bare.split(b","))
        name = fields[b"n"].replace(b"=2C", b",").replace(b"=3D", b"=").decode()
        self.header, self.user, self.known = header + b",,", user, name == user.name
        self.nonce = fields[b"r"] + base64.b64encode(os.urandom(24))
        salt = base64.b64encode(user.salt)
        self.reply = b"r=%s,s=%s,i=%d" % (self.nonce, salt, user.iterations)

    def end(self, final):
        """What proves the server in its turn; None when the client has not proved itself."""
        without_proof, _, proof = final.rpartition(b",p=")
        fields = dict(part.split(b"=", 1) for part in without_proof.split(b","))
        message = b",".join((self.first_bare, self.reply, without_proof))
        signature = _hmac(self.user.stored_key, message)
        key = bytes(a ^ b for a, b in zip(base64.b64decode(proof), signature, strict=True))
        proved = hmac.compare_digest(hashlib.sha256(key).digest(), self.user.stored_key)
        bound = base64.b64decode(fields[b"c"]) == self.header and fields[b"r"] == self.nonce
        if not (self.known and proved and bound):
            return None
        return b"v=" + base64.b64encode(_hmac(self.user.server_key, message))
