#!/usr/bin/env bash
# A Docker registry answers 404 for an OCI manifest unless the Accept header has its type.
#
# Docker's registry ("distribution"), version 2, accepts an OCI image manifest with 201. A GET
# of it without an Accept header, with `*/*` (curl's default) or with `application/json` is
# 404 MANIFEST_UNKNOWN, by tag and by digest. Only the exact type
# application/vnd.oci.image.manifest.v1+json works: media ranges are not matched. HEAD does
# the same, without the text that explains it, so a tool that checks whether a tag exists
# concludes that it does not. Seen with docker-registry 2.8.2 of Debian 12.
#
# Send an Accept header with every manifest type that you can read, in HEAD requests too.
set -euo pipefail

if ! command -v apt-get > /dev/null || ! command -v dpkg-deb > /dev/null; then
    echo "SKIPPED: this needs packages of Debian (apt-get, dpkg-deb)"
    exit 0
fi
work=$(mktemp -d)
trap 'kill $(jobs -p) 2> /dev/null || true; wait; rm -rf "$work"' EXIT
(cd "$work" && apt-get download --quiet=2 -o APT::Sandbox::User=root docker-registry)
dpkg-deb -x "$work"/*.deb "$work/root"
registry="$work/root/usr/bin/docker-registry"
"$registry" --version | sed 's/.* github/github/'

port=$((20000 + RANDOM % 20000))
cat > "$work/registry.yml" <<YAML
version: 0.1
storage: { filesystem: { rootdirectory: $work/images } }
http: { addr: "127.0.0.1:$port" }
YAML
"$registry" serve "$work/registry.yml" > "$work/log" 2>&1 &

cat > "$work/client.py" <<'PYTHON'
import hashlib
import http.client
import json
import sys
import time
from urllib.parse import urlsplit

OCI = "application/vnd.oci.image.manifest.v1+json"
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"


def ask(method, path, body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=10)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    return response.status, response.headers, response.read()


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


for _ in range(100):
    try:
        ask("GET", "/v2/")
        break
    except OSError:
        time.sleep(0.1)

config = b"{}"
_, headers, _ = ask("POST", "/v2/till/blobs/uploads/")
upload = urlsplit(headers["Location"])
path = f"{upload.path}?{upload.query}&digest={digest(config)}"
print("config:", ask("PUT", path, config, Content_Type="application/octet-stream")[0])
blob = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest(config), "size": len(config)}
manifest = json.dumps({"schemaVersion": 2, "mediaType": OCI, "config": blob, "layers": [blob]}).encode()
print("manifest:", ask("PUT", "/v2/till/manifests/one", manifest, Content_Type=OCI)[0])

for accept in [None, "*/*", "application/*", "application/json", DOCKER, OCI, f"{DOCKER}, {OCI}"]:
    headers = {} if accept is None else {"Accept": accept}
    found = []
    for reference in ["one", digest(manifest)]:
        for method in ["GET", "HEAD"]:
            status, _, body = ask(method, f"/v2/till/manifests/{reference}", **headers)
            found.append(str(status))
            if status == 404 and body and accept is None and reference == "one":
                print("   ", body.decode().strip(), file=sys.stderr)
    print(f"Accept {accept}:", *found)
PYTHON
echo "of a tag: GET HEAD, of a digest: GET HEAD"
printed=$(python3 "$work/client.py" "$port")
echo "$printed"
seen='config: 201
manifest: 201
Accept None: 404 404 404 404
Accept */*: 404 404 404 404
Accept application/*: 404 404 404 404
Accept application/json: 404 404 404 404
Accept application/vnd.docker.distribution.manifest.v2+json: 404 404 404 404
Accept application/vnd.oci.image.manifest.v1+json: 200 200 200 200
Accept application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json: 200 200 200 200'
if [ "$printed" != "$seen" ]; then
    printf 'this has changed: expected\n%s\n' "$seen"
    exit 1
fi
echo "the manifest is 404 unless the Accept header names its exact type"
