#!/usr/bin/env bash
# rgw.sh CACHE DIR MONPORT S3PORT
# A real S3 server, Ceph's RADOS gateway over a store in memory: from the PATH, or from Debian's packages, which are
# downloaded and unpacked under CACHE; nothing is installed, and root is not needed. Prints "ready" once it answers, or
# "missing: why". Runs until its standard input ends, so that it never outlives whoever started it.
set -u
cache=$1 dir=$2 mon=$3 s3=$4

missing() { echo "missing: $*"; exit 3; }

packages="radosgw ceph-mon ceph-osd"
apt_options=""

closure() { apt-get $apt_options install -s --no-install-recommends $packages 2>/dev/null | awk '/^Inst/ { print $2 }'; }

fetch() {
  for tool in apt-get dpkg-deb awk python3; do
    command -v $tool >/dev/null || missing "there is no radosgw on the PATH, and no $tool to get it with"
  done
  local work
  work=$(mktemp -d "$cache.XXXXXX") || missing "no folder could be made beside $cache"
  trap 'rm -rf "$work"' EXIT
  mkdir -p "$work/debs" "$work/root"
  local names
  names=$(closure)
  if [ -z "$names" ]; then
    # Without lists of packages, or the right to write them: lists of our own.
    mkdir -p "$work/state/lists/partial" "$work/archives/partial"
    apt_options="-o Dir::State=$work/state -o Dir::State::status=/var/lib/dpkg/status -o Dir::Cache=$work"
    apt-get $apt_options update >/dev/null 2>&1
    names=$(closure)
  fi
  [ -n "$names" ] || missing "apt does not know the packages $packages"
  (cd "$work/debs" && apt-get $apt_options download $names >/dev/null 2>&1) || missing "apt could not download $packages"
  for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$work/root" || missing "$deb could not be unpacked"; done
  # Whoever is first puts it in its place; the other's is as good.
  mv -T "$work/root" "$cache" 2>/dev/null || [ -x "$cache/usr/bin/radosgw" ] || missing "$cache could not be written"
  rm -rf "$work"
  trap - EXIT
}

classes=""
if ! command -v radosgw >/dev/null || ! command -v ceph-mon >/dev/null || ! command -v ceph-osd >/dev/null; then
  [ -x "$cache/usr/bin/radosgw" ] || fetch
  lib=$(dirname "$(find "$cache/usr/lib" -name 'librados.so.2' | head -1)")
  export PATH="$cache/usr/bin:$PATH" PYTHONPATH="$cache/usr/lib/python3/dist-packages"
  export LD_LIBRARY_PATH="$lib:$lib/ceph:$cache/lib/$(basename "$lib")"
  classes="osd class dir = $lib/rados-classes
erasure code dir = $lib/ceph/erasure-code
plugin dir = $lib/ceph"
fi

mkdir -p "$dir/mon" "$dir/osd" "$dir/run" "$dir/log"
export CEPH_CONF="$dir/ceph.conf"
uuid() { cat /proc/sys/kernel/random/uuid; }
fsid=$(uuid)
cat > "$CEPH_CONF" <<CONF
[global]
fsid = $fsid
mon host = v1:127.0.0.1:$mon
public network = 127.0.0.0/8
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 1
osd pool default min size = 1
osd crush chooseleaf type = 0
osd pool default pg num = 4
osd pool default pgp num = 4
mon allow pool size one = true
mon max pg per osd = 1000
mon data avail crit = 1
mon data avail warn = 1
paxos propose interval = 0.01
paxos min wait = 0.01
osd objectstore = memstore
memstore device bytes = 1073741824
log file = $dir/log/\$name.log
admin socket = $dir/run/\$name.asok
pid file = $dir/run/\$name.pid
run dir = $dir/run
mon data = $dir/mon
osd data = $dir/osd
osd class load list = *
osd class default list = *
osd class update on start = false
$classes
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:$s3 tcp_nodelay=1
debug rgw = 0
CONF

started=""
down() {
  trap - EXIT INT TERM HUP
  # Of how its jobs ended the shell would tell.
  exec 2>/dev/null
  for pid in $started; do kill -9 "$pid" 2>/dev/null; done
  wait 2>/dev/null
  rm -rf "$dir"
}
trap 'down; exit 1' INT TERM HUP
trap down EXIT

run() { "$@" </dev/null >>"$dir/log/out" 2>&1 & started="$started $!"; }
failed() { echo "failed: $*"; tail -n 3 "$dir"/log/out; exit 4; }
retry() { for _ in $(seq 60); do "$@" >/dev/null 2>>"$dir/log/retry" && return 0; sleep 0.1; done; failed "$*"; }
answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

monmaptool --create --fsid "$fsid" --addv a "[v1:127.0.0.1:$mon]" "$dir/monmap" >/dev/null || failed monmaptool
ceph-mon --mkfs -i a --monmap "$dir/monmap" >>"$dir/log/out" 2>&1 || failed "ceph-mon --mkfs"
run ceph-mon -f -i a
# Asked before it listens, it would be asked again only seconds later.
retry answers "$mon"
retry timeout 5 ceph -s
osd=$(uuid)
retry timeout 5 ceph osd new "$osd"
ceph-osd -i 0 --mkfs --osd-uuid "$osd" >>"$dir/log/out" 2>&1 || failed "ceph-osd --mkfs"
# It gives up where the monitor is not quite there yet.
up() {
  [ -n "${osd_pid:-}" ] && kill -0 "$osd_pid" 2>/dev/null || { run ceph-osd -f -i 0; osd_pid=$!; }
  timeout 5 ceph osd stat 2>/dev/null | grep -q '1 up'
}
retry up
retry timeout 20 radosgw-admin user create --uid=checkmate --display-name=checkmate --access-key=checkmate --secret-key=a-secret-for-tests
run radosgw -f -n client.rgw
retry answers "$s3"
echo ready
# Its end is the end of whoever started it.
cat >/dev/null
