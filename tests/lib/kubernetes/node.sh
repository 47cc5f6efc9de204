# Sourced by kubernetes.sh: a node, and what makes pods of manifests.
# shellcheck shell=bash
# shellcheck disable=SC2154 # kubernetes.sh sets them
set -euo pipefail

# Everything of the node is below one process: it ends with it.
node() {
  local dir=$1
  mkdir -p "$dir"
  dir=$(cd "$dir" && pwd)
  [[ $EUID == 0 ]] || fail "a node needs root"
  # The last one that kubelets of this age know.
  [[ $(dockerd --version) == *" 20.10."* ]] || fail "a node needs Docker 20.10, as Debian bookworm has it: $(dockerd --version)"
  rm -f "$dir/ready" "$dir"/*.pid
  unshare --net --mount --pid --fork --kill-child --mount-proc \
    "$here/kubernetes.sh" node-inside "$dir" </dev/null >"$dir/node.log" 2>&1 9>&- &
  echo $! >"$dir/node.pid"
  answers "$dir" node 180 test -e "$dir/ready"
  echo "$node_address"
}

node_inside() {
  local dir=$1 fs engine loading
  ip link set lo up
  # The bridge of the pods; the node has no other network.
  ip link add pods type bridge
  ip address add "$node_address/24" dev pods
  ip link set pods up
  ip route add default dev pods
  # What a kubelet writes into directories that it cannot be told.
  for fs in /var/log /var/lib/kubelet /var/lib/dockershim; do
    mkdir -p $fs
    mount -t tmpfs tmpfs $fs
  done
  # Logs and exec go to the node by its name.
  printf '%s\n' "127.0.0.1 localhost" "$node_address $node_name registry.example" >"$dir/hosts"
  mount --bind "$dir/hosts" /etc/hosts
  echo "nameserver $node_address" >"$dir/resolv.conf"
  mount --bind "$dir/resolv.conf" /etc/resolv.conf

  REMORA_ENGINE_BRIDGE=pods REMORA_ENGINE_MTU=1450 REMORA_ENGINE_INSECURE=registry.example REMORA_ENGINE_RUNTIME=$here/runc.sh \
    "$here/engine.sh" start own "$dir/engine"
  load_images "$dir" &
  loading=$!
  REMORA_REGISTRY_ADDRESS=$node_address:80 "$here/registry.sh" start "$dir/registry"
  "$here/registry.sh" busybox "$dir/busybox.tar.gz"
  "$here/registry.sh" seed "$node_address:80" base:1 "$dir/busybox.tar.gz"

  start_api "$dir" 0.0.0.0 --advertise-address "$node_address" \
    --kubelet-client-certificate "$dir/keys/admin.crt" --kubelet-client-key "$dir/keys/admin.key"
  run "$dir" kube-controller-manager "$programs/kube-controller-manager" --kubeconfig "$dir/admin.kubeconfig" \
    --leader-elect=false --port 0 --service-account-private-key-file "$dir/keys/accounts.key" --root-ca-file "$dir/keys/ca.crt"
  run "$dir" kube-scheduler "$programs/kube-scheduler" --kubeconfig "$dir/admin.kubeconfig" --leader-elect=false --port 0
  run "$dir" kube-proxy "$programs/kube-proxy" --kubeconfig "$dir/admin.kubeconfig" --hostname-override "$node_name" \
    --cluster-cidr "${node_address%.*}.0/24" --masquerade-all --conntrack-max-per-core 0 --conntrack-min 0 \
    --conntrack-tcp-timeout-established 0 --conntrack-tcp-timeout-close-wait 0

  touch "$dir/services"
  run "$dir" dns dnsmasq --keep-in-foreground --conf-file=/dev/null --pid-file= --user=root --bind-interfaces \
    --listen-address "$node_address" --no-resolv --no-hosts --addn-hosts "$dir/hosts" --addn-hosts "$dir/services" \
    --local=/#/ --local-ttl 1
  run "$dir" endpoints "$here/kubernetes.sh" endpoints "$dir"

  kubeconfig "$dir" "$node_name"
  kubelet_config "$dir" >"$dir/kubelet.json"
  # It must see the engine's processes, and the engine what it mounts.
  engine=$(pgrep -P "$(cat "$dir/engine/engine.pid")")
  run "$dir" kubelet nsenter --target "$engine" --mount --pid -- "$programs/kubelet" --config "$dir/kubelet.json" \
    --root-dir "$dir/kubelet" --cert-dir "$dir/keys" --kubeconfig "$dir/$node_name.kubeconfig" \
    --hostname-override "$node_name" --node-ip "$node_address" --container-runtime docker \
    --docker-endpoint "unix://$dir/engine/engine.sock" --pod-infra-container-image pause:1
  answers "$dir" kubelet 60 "$tools/kubectl" --kubeconfig "$dir/admin.kubeconfig" wait --for condition=Ready "node/$node_name" --timeout 5s
  wait "$loading"
  touch "$dir/ready"
  exec sleep infinity
}

# The images that pods here are made of. Docker-in-Docker is the root of a newer engine; the agent's base is the rest of
# it, which has git, ssh and certificates.
load_images() {
  local dir=$1 left_out import=(docker -H "unix://$1/engine/engine.sock" import)
  left_out=(./usr/share/{doc,locale,man} ./var/cache ./var/lib/apt/lists ./usr/{lib,share}/go-*)
  "$here/registry.sh" busybox "$dir/images.tar.gz"
  "${import[@]}" -c 'CMD ["sh", "-c", "trap exit TERM; while :; do sleep 1000 & wait; done"]' "$dir/images.tar.gz" pause:1
  "${import[@]}" "$dir/images.tar.gz" busybox:test
  tar -C "$("$here/engine.sh" root 28)" "${left_out[@]/#/--exclude=}" --one-file-system -c . | "${import[@]}" - docker:test
  left_out+=(./usr/*bin/{docker,containerd,runc,ctr}* ./usr/libexec/docker)
  tar -C "$("$here/engine.sh" root 28)" "${left_out[@]/#/--exclude=}" --one-file-system -c . | "${import[@]}" - git:test
}

# All of the cluster's DNS: services are names for their own address, headless ones for those of their ready pods.
endpoints() {
  local dir=$1 kubectl=("$tools/kubectl" get --kubeconfig "$1/admin.kubeconfig" --all-namespaces)
  "${kubectl[@]}" endpoints --watch --output name | while read -r _; do
    "${kubectl[@]}" services,endpoints --output json | jq -r '
      def name: "\(.metadata.name).\(.metadata.namespace).svc";
      ([.items[] | select((.spec.clusterIP // "None") != "None") | {(name): [.spec.clusterIP]}] | add) as $own |
      .items[] | select(.kind == "Endpoints") | name as $name |
      ($own[$name] // [.subsets[]?.addresses[]?.ip])[] | "\(.) \($name).cluster.local \($name)"' >"$dir/services"
    kill -HUP "$(cat "$dir/dns.pid")"
  done
}

kubelet_config() {
  cat <<EOF
{
  "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
  "address": "$node_address", "readOnlyPort": 0,
  "authentication": {"anonymous": {"enabled": false}, "webhook": {"enabled": false}, "x509": {"clientCAFile": "$1/keys/ca.crt"}},
  "authorization": {"mode": "AlwaysAllow"},
  "tlsCertFile": "$1/keys/$node_name.crt", "tlsPrivateKeyFile": "$1/keys/$node_name.key",
  "cgroupDriver": "cgroupfs", "cgroupsPerQOS": false, "enforceNodeAllocatable": [], "failSwapOn": false,
  "clusterDomain": "cluster.local", "clusterDNS": ["$node_address"], "resolvConf": "$1/resolv.conf",
  "evictionHard": {"nodefs.available": "1%"}, "imageGCHighThresholdPercent": 100, "imageGCLowThresholdPercent": 99,
  "syncFrequency": "5s", "fileCheckFrequency": "5s"
}
EOF
}
