#!/usr/bin/env bash
# A private Kubernetes 1.20, from Debian's own sources, for tests and people. All of it lies in DIR and dies with `stop`.
#
#   kubernetes.sh build         makes its programs beforehand (ten minutes, once for a machine)
#   kubernetes.sh tools         makes what `kubectl` and `validate` need alone
#   kubernetes.sh validate FILE checks manifests against the published schemas of the newest versions of Kubernetes
#   kubernetes.sh api DIR       starts etcd and the API server alone, on loopback, with RBAC; prints its address once it
#                               answers; DIR/env holds KUBECONFIG (of an administrator), KUBE_ADDRESS and KUBE_CA
#   kubernetes.sh node DIR      starts all of a cluster of one node, in namespaces of its own for network and processes,
#                               with a registry (registry.example, plain http)
#   kubernetes.sh shared DIR    the same, but a node that already runs in DIR is used
#   kubernetes.sh inside DIR COMMAND...
#                               runs a command in these namespaces
#   kubernetes.sh kubectl DIR ...
#                               runs kubectl (1.32, for its kustomize), as an administrator; DIR may be - for none
#   kubernetes.sh stop DIR
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/net.sh
source "$here/net.sh"
# shellcheck source=tests/lib/kubernetes/build.sh
source "$here/kubernetes/build.sh"
# shellcheck source=tests/lib/kubernetes/node.sh
source "$here/kubernetes/node.sh"
cache=${REMORA_TEST_CACHE:-/var/cache/remora-test}
programs=$cache/kubernetes-1.20
tools=$cache/kubernetes-tools
node_name=node
node_address=10.244.0.1
service_address=10.96.0.1

fail() {
  echo "kubernetes.sh: $*" >&2
  exit 1
}

# One authority signs all; `admin` may do everything. The server is known by each of the names and addresses it may have.
make_keys() {
  local dir=$1 name subject
  mkdir -p "$dir"
  [[ ! -e $dir/done ]] || return 0
  (
    cd "$dir"
    openssl genrsa -out accounts.key 2048
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=remora test cluster" \
      -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign -keyout ca.key -out ca.crt
    for subject in /CN=server /O=system:masters/CN=admin "/O=system:nodes/CN=system:node:$node_name"; do
      name=${subject##*[:=]}
      openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$subject" -keyout "$name.key" -out "$name.csr"
      openssl x509 -req -in "$name.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -out "$name.crt" -extfile <(
        echo "extendedKeyUsage=serverAuth,clientAuth"
        echo "subjectAltName=IP:127.0.0.1,IP:$node_address,IP:$service_address,DNS:localhost,DNS:kubernetes.default.svc,DNS:$node_name"
      )
    done
    touch "done"
  ) 2>"$dir/log" || fail "no keys: $(tail -1 "$dir/log")"
}

# A kubeconfig of NAME, whose key is in DIR/keys.
kubeconfig() {
  local dir=$1 name=$2
  printf '%s\n' "apiVersion: v1" "kind: Config" "current-context: test" \
    "clusters: [{name: test, cluster: {server: 'https://127.0.0.1:$(cat "$dir/port")', certificate-authority: '$dir/keys/ca.crt'}}]" \
    "users: [{name: $name, user: {client-certificate: '$dir/keys/$name.crt', client-key: '$dir/keys/$name.key'}}]" \
    "contexts: [{name: test, context: {cluster: test, user: $name}}]" >"$dir/$name.kubeconfig"
}

# run DIR NAME COMMAND...: a program of the cluster; its log and its id lie in DIR.
run() {
  local dir=$1 name=$2
  shift 2
  "$@" </dev/null >>"$dir/$name.log" 2>&1 9>&- &
  echo $! >"$dir/$name.pid"
}

# Waits for what `run` has started: answers DIR NAME SECONDS COMMAND...
answers() {
  local dir=$1 name=$2 seconds=$3
  shift 3
  await "$seconds" "$(cat "$dir/$name.pid")" "$@" && return
  tail -20 "$dir/$name.log" >&2
  # A node ends with its first process.
  [[ -n ${inside_node:-} ]] || stop "$dir"
  fail "$name did not start: $dir/$name.log"
}

# start_api DIR ADDRESS FLAG...: etcd, and the API server at ADDRESS.
start_api() {
  local dir=$1 address=$2 etcd keys=$1/keys
  shift 2
  [[ -d $programs ]] || fail "Kubernetes is not built here: run 'kubernetes.sh build'"
  make_keys "$keys"
  etcd=http://127.0.0.1:$(free_port)
  # What is started again keeps its address.
  [[ -e $dir/port ]] || free_port >"$dir/port"
  run "$dir" etcd etcd --data-dir "$dir/etcd" --listen-client-urls "$etcd" --advertise-client-urls "$etcd" \
    --listen-peer-urls "http://127.0.0.1:$(free_port)"
  answers "$dir" etcd 30 curl -fs "$etcd/health"
  run "$dir" kube-apiserver "$programs/kube-apiserver" --etcd-servers "$etcd" --bind-address "$address" \
    --secure-port "$(cat "$dir/port")" --insecure-port 0 --cert-dir "$keys" --client-ca-file "$keys/ca.crt" \
    --tls-cert-file "$keys/server.crt" --tls-private-key-file "$keys/server.key" --anonymous-auth=false \
    --authorization-mode Node,RBAC --allow-privileged --service-cluster-ip-range "${service_address%.*}.0/24" \
    --service-account-issuer https://kubernetes.default.svc --service-account-key-file "$keys/accounts.key" \
    --service-account-signing-key-file "$keys/accounts.key" "$@"
  kubeconfig "$dir" admin
  answers "$dir" kube-apiserver 60 kubectl "$dir" get --raw /readyz
  {
    echo "export KUBECONFIG=$dir/admin.kubeconfig KUBE_CA=$keys/ca.crt"
    echo "export KUBE_ADDRESS=https://127.0.0.1:$(cat "$dir/port")"
  } >"$dir/env"
}

api() {
  mkdir -p "$1"
  dir=$(cd "$1" && pwd)
  # Without a node there is nobody to tell pods where it is.
  start_api "$dir" 127.0.0.1 --advertise-address 127.0.0.1 --endpoint-reconciler-type none
  echo "https://127.0.0.1:$(cat "$dir/port")"
}

kubectl() {
  local dir=$1
  shift
  HOME=/nonexistent KUBECONFIG=$dir/admin.kubeconfig inside "$dir" "$tools/kubectl" "$@"
}

# Runs a command where the cluster is: a node has a network of its own. With $replace='exec' it takes this shell's place.
inside() {
  local dir=$1 node
  shift
  if [[ -z ${inside_node:-} && -e $dir/node.pid ]] && node=$(pgrep -P "$(cat "$dir/node.pid")"); then
    ${replace:-} nsenter --target "$node" --net --mount --wd="$PWD" -- "$@"
  else
    ${replace:-} "$@"
  fi
}

stop() {
  local name
  if [[ -e $1/node.pid ]]; then
    # The other ids mean processes of the node's own namespace, which end with its first.
    reap "$1/node.pid"
    rm -f "$1"/*.pid
    "$here/engine.sh" sweep "$(cd "$1" && pwd)/engine"
  fi
  for name in kube-apiserver etcd; do reap "$1/$name.pid"; done
}

case ${1:-} in
  build)
    build_tools
    build
    ;;
  tools) build_tools ;;
  compile) compile "$2" ;;
  validate) validate "$2" ;;
  api) api "$2" ;;
  kubectl) replace='exec' kubectl "${@:2}" ;;
  node) node "$2" ;;
  shared)
    mkdir -p "$2"
    exec 9>"$2/.lock"
    flock 9
    if ! [[ -e $2/node.pid ]] || ! kill -0 "$(cat "$2/node.pid")" 2>/dev/null; then node "$2"; fi
    ;;
  node-inside) inside_node=1 node_inside "$2" ;;
  endpoints) inside_node=1 endpoints "$2" ;;
  inside) replace='exec' inside "${@:2}" ;;
  stop) stop "$2" ;;
  *)
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0" >&2
    exit 2
    ;;
esac
