# Sourced by peers.sh: a registry behind a link of 400 Mbit/s, in a network namespace of its own, whose content is put
# aside and taken back; and what passed over the link.
# shellcheck shell=bash disable=SC2154
registry=10.77.0.2:5000
mute=10.77.0.2:5001

# Runs a command on the registry's side of the link.
beyond() { nsenter --net="/proc/$wan_pid/ns/net" "$@"; }

start_wan() {
  local side
  unshare --net sleep infinity &
  wan_pid=$!
  until [[ -e /proc/$wan_pid/ns/net && $(readlink "/proc/$wan_pid/ns/net") != "$(readlink /proc/self/ns/net)" ]]; do sleep 0.01; done
  ip link add wan type veth peer name wan netns "$wan_pid"
  ip address add 10.77.0.1/24 dev wan
  beyond ip address add 10.77.0.2/24 dev wan
  beyond ip link set lo up
  for side in '' beyond; do
    $side ip link set wan up
    $side tc qdisc add dev wan root tbf rate 400mbit burst 512kb latency 50ms
  done
  # It takes connections, notes each in $bed/asked, and never says a word.
  # shellcheck disable=SC2016 # perl's variables
  beyond perl -MIO::Socket::INET -e '$| = 1;
    my $server = IO::Socket::INET->new(LocalAddr => shift, Listen => 1024) or die $@;
    while (my $client = $server->accept) { push @open, $client; print "asked\n" }' "$mute" >>"$bed/asked" &
}

# Bytes that came from and went to the registry so far.
traffic() { awk '$1 == "wan:" {print $2, $10}' /proc/net/dev; }

# registry_with STATE: the registry anew, with the content that was put aside as STATE.
registry_with() {
  "$lib/registry.sh" stop "$keep/registry"
  rm -rf "$keep/registry"
  mkdir "$keep/registry"
  [[ $1 == nothing ]] || copy_content "$1" "$keep/registry/blobs"
  REMORA_REGISTRY_ADDRESS=$registry beyond "$lib/registry.sh" start "$keep/registry" >/dev/null
}

# put_aside STATE
put_aside() {
  rm -rf "$1"
  mkdir -p "$(dirname "$1")"
  copy_content "$keep/registry/blobs" "$1.new"
  mv "$1.new" "$1"
}

# Blobs are never written to again and can be linked; the links of tags are.
copy_content() {
  local v2=docker/registry/v2
  rm -rf "$2"
  mkdir -p "$2/$v2"
  cp -al "$1/$v2/blobs" "$2/$v2/blobs"
  cp -a "$1/$v2/repositories" "$2/$v2/repositories"
}

# digest_of REPO:TAG, from the registry's side, so that it does not count; nothing where there is no such tag.
digest_of() {
  local type=application/vnd accept
  accept="$type.docker.distribution.manifest.v2+json, $type.oci.image.manifest.v1+json, $type.oci.image.index.v1+json"
  beyond curl -sI -H "Accept: $accept" "http://$registry/v2/${1%:*}/manifests/${1##*:}" | tr -d '\r' |
    awk 'tolower($1) == "docker-content-digest:" {print $2}'
}
