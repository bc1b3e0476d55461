#!/usr/bin/env python3
"""Seals a payload as the gateway does: AES-256-GCM, ENC[AES256-GCM,…].

    seal.py KEY [--kid ID] [--break-tag] <payload

KEY is 64 hex digits.  Made of the openssl program's plain AES and a GHASH of
its own, so that it shares no code with what it is to test.
"""

import argparse
import base64
import os
import subprocess
import sys


def aes(key, blocks):
    """AES-256 of each block."""
    return subprocess.run(["openssl", "enc", "-aes-256-ecb", "-nopad", "-K", key.hex()],
                          input=blocks, stdout=subprocess.PIPE, check=True).stdout


def multiply(x, y):
    """Product in GF(2^128), as GCM defines it."""
    product = 0
    for bit in range(127, -1, -1):
        if x >> bit & 1:
            product ^= y
        y = y >> 1 ^ (0xE1 << 120 if y & 1 else 0)
    return product


def seal(key, iv, plaintext):
    """Ciphertext and tag."""
    count = (len(plaintext) + 15) // 16
    stream = aes(key, bytes(16) + b"".join(iv + (n + 1).to_bytes(4, "big")
                                           for n in range(count + 1)))
    ciphertext = bytes(a ^ b for a, b in zip(plaintext, stream[32:]))
    padded = ciphertext + bytes(-len(ciphertext) % 16)
    lengths = (8 * len(ciphertext)).to_bytes(16, "big")
    h, y = int.from_bytes(stream[:16], "big"), 0
    for at in range(0, len(padded) + 16, 16):
        y = multiply(y ^ int.from_bytes((padded + lengths)[at:at + 16], "big"), h)
    tag = (y ^ int.from_bytes(stream[16:32], "big")).to_bytes(16, "big")
    return ciphertext, tag


def main():
    parser = argparse.ArgumentParser(description="Seals a payload as the gateway does.")
    parser.add_argument("key", help="64 hex digits")
    parser.add_argument("--kid", help="id of the key (default: none is named)")
    parser.add_argument("--iv", help="24 hex digits (default: at random)")
    parser.add_argument("--break-tag", action="store_true", help="make a tag that is wrong")
    options = parser.parse_args()
    iv = bytes.fromhex(options.iv) if options.iv else os.urandom(12)
    ciphertext, tag = seal(bytes.fromhex(options.key), iv, sys.stdin.buffer.read())
    if options.break_tag:
        tag = bytes([tag[0] ^ 1]) + tag[1:]
    data, iv, tag = (base64.b64encode(part).decode() for part in (ciphertext, iv, tag))
    kid = f"kid:{options.kid}," if options.kid else ""
    print(f"ENC[AES256-GCM,{kid}data:{data},iv:{iv},tag:{tag}]", end="")


if __name__ == "__main__":
    main()
