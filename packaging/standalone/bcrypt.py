"""In the place of the library of this name, which cannot be linked in: the one function of it that hostcheck calls."""

import hmac

import _musl_crypt


def checkpw(password: bytes, hashed_password: bytes) -> bool:
    """Return whether a password is the one that was hashed."""
    if hashed_password[:4] not in (b"$2a$", b"$2b$", b"$2y$"):
        raise ValueError("Invalid salt")
    # What OpenBSD calls b is what others call y; musl knows the latter name.
    found: bytes = _musl_crypt.crypt(password, b"$2y$" + hashed_password[4:])
    return hmac.compare_digest(found[4:], hashed_password[4:]) and found[:1] == b"$"
