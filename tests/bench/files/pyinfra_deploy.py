"""Four operations of pyinfra: what an operator writes. Data is given with `--data`."""

import base64
import os

from pyinfra.context import host
from pyinfra.operations import files, server

root, version = host.data.root, host.data.version
password = os.environ["NEXUS_PASSWORD"]

files.directory(name="Directory", path=f"{root}/releases/{version}")
download = files.download(
    name="Download",
    src=host.data.url,
    dest=f"{root}/site-{version}.zip",
    sha256sum=host.data.sha256,
    headers={"Authorization": "Basic " + base64.b64encode(f"ci:{password}".encode()).decode()},
)
server.shell(
    name="Unpack",
    commands=[f"unzip -q -o {root}/site-{version}.zip -d {root}/releases/{version}"],
    _if=download.did_change,
)
files.link(name="Switch", path=f"{root}/current", target=f"releases/{version}")
