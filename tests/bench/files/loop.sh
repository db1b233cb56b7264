#!/bin/bash
# The floor: one ssh for each host, all at once. Nothing is verified; credentials go over standard input.
# root, version, url and hosts (user@address …) are variables; arguments are ssh's options.
set -u
work() {
  cat <<SCRIPT
set -e
if [ ! -d $root/releases/$version ]; then
  mkdir -p $root/releases/$version
  curl -fsS -o $root/site.zip --config - <<CONFIG
url = "$url"
user = "ci:$NEXUS_PASSWORD"
CONFIG
  unzip -q $root/site.zip -d $root/releases/$version </dev/null
  rm $root/site.zip
fi
ln -sfn releases/$version $root/current
SCRIPT
}
jobs=()
for host in $hosts; do
  work | ssh "$@" "$host" sudo -n sh -s &
  jobs+=($!)
done
code=0
for job in "${jobs[@]}"; do
  wait "$job" || code=1
done
exit $code
