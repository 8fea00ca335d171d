"""Find a thing through the server: python examples/http_client.py [http://127.0.0.1:8600]

Start the server before: groundbrush serve --root examples
"""

import json
import sys
from urllib.request import Request, urlopen

SERVER = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8600"

body = json.dumps({"image": "fruit.png", "find": "the red apple"}).encode()
request = Request(f"{SERVER}/v1/ground", body, {"Content-Type": "application/json"})
with urlopen(request) as answer:
    job = json.load(answer)

while job["state"] in ("waiting", "running"):
    with urlopen(f"{SERVER}/v1/jobs/{job['id']}?wait=30") as answer:
        job = json.load(answer)
print(json.dumps(job, indent=2))
