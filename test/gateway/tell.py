#!/usr/bin/env python3
"""Tell a stub gateway something: tell.py PORT JSON, as for its /_control."""

import sys
import urllib.request

urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/_control", sys.argv[2].encode(), 30).read()
