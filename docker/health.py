"""HEALTHCHECK of the image: exits with 0 if the node in this container listens."""

import os
import sys
import urllib.request

port = os.environ.get("RINGKV_HTTP", "0.0.0.0:8001").rpartition(":")[2]
try:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=2) as answer:
        sys.exit(answer.status != 200)
except OSError as error:
    sys.exit(f"not alive: {error}")
