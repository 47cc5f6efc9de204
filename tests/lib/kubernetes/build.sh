# Sourced by kubernetes.sh: the programs, from Debian's packages.
# shellcheck shell=bash
# shellcheck disable=SC2154 # kubernetes.sh sets them
set -euo pipefail

# Makes the programs if they are missing. Debian bookworm's source package is the whole of Kubernetes with all it needs.
build() {
  local new
  [[ ! -d $programs ]] || return 0
  mkdir -p "$cache"
  exec 9>"$cache/.kubernetes.lock"
  flock 9
  # What another run has made by now; else what an interrupted one left.
  [[ ! -d $programs ]] || return 0
  rm -rf "$cache"/.kubernetes.??????
  "$here/install.sh" golang-1.19-go dpkg-dev gcc libc6-dev make rsync
  new=$(mktemp -d "$cache/.kubernetes.XXXXXX")
  echo "kubernetes.sh: building Kubernetes 1.20 in $programs (ten minutes)" >&2
  # A program of its own: here a failed command would be no end.
  "$here/kubernetes.sh" compile "$new" >"$new/log" 2>&1 9>&- || {
    tail -30 "$new/log" >&2
    fail "Kubernetes was not built"
  }
  mv "$new/programs" "$programs"
  # Go makes what it caches read-only.
  chmod -R u+w "$new" && rm -rf "$new"
  exec 9>&-
}

# What is quick to have: kubectl, of Debian trixie for its kustomize (it asks for no newer C library than bookworm's), and
# Python's kubernetes-validate, which has the published schemas of a dozen versions of Kubernetes.
build_tools() {
  local new
  [[ ! -d $tools ]] || return 0
  mkdir -p "$cache"
  exec 9>"$cache/.tools.lock"
  flock 9
  [[ ! -d $tools ]] || return 0
  rm -rf "$cache"/.tools.??????
  "$here/install.sh" python3 python3-venv
  new=$(mktemp -d "$cache/.tools.XXXXXX")
  /usr/bin/python3 -m venv "$new/python"
  "$new/python/bin/pip" install --quiet --disable-pip-version-check kubernetes-validate >&2
  (cd "$new" && debian_sources && apt_get download kubectl/trixie && dpkg-deb -x kubectl_*.deb .) >"$new/log" 2>&1 || {
    tail -5 "$new/log" >&2
    fail "there is no kubectl"
  }
  mv "$new/usr/bin/kubectl" "$new/kubectl"
  rm -rf "${new:?}"/{lists,usr,*.deb}
  chmod 755 "$new"
  mv "$new" "$tools"
  exec 9>&-
}

# validate FILE: against the schemas of the newest version of Kubernetes and of the three before.
validate() {
  local version said status=0
  for version in $("$tools/python/bin/python" -c 'from kubernetes_validate.utils import all_versions; print(*list(dict.fromkeys(all_versions()))[-4:])'); do
    said=$("$tools/python/bin/python" -m kubernetes_validate --strict --kubernetes-version "$version" "$1" 2>&1) || status=1
    # A warning is of a kind that is not Kubernetes' own.
    grep -v '^INFO\|api version cert-manager.io/' <<<"$said" && status=1
    echo "$version: $(grep -c '^INFO' <<<"$said") valid"
  done
  return $status
}

debian_mirror() {
  # shellcheck disable=SC2016
  apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' | awk '$1 == "Debian" {print $2; exit}'
}

# Package lists of this directory's own: the machine's name no sources as a rule, and are left alone.
debian_sources() {
  local mirror
  mirror=$(debian_mirror)
  # Before its first update apt names none.
  [[ -n $mirror ]] || { apt-get update >/dev/null 2>&1 && mirror=$(debian_mirror); }
  [[ -n $mirror ]] || { echo "kubernetes.sh: apt knows no mirror of Debian; add one to its sources" >&2; return 1; }
  printf '%s\n' "deb-src $mirror bookworm main" "deb $mirror trixie main" >sources.list
  mkdir -p lists/partial
  apt_get update
}

apt_get() {
  apt-get -o "Dir::Etc::sourcelist=$PWD/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$PWD/lists" \
    -o APT::Sandbox::User=root "$@"
}

compile() {
  cd "$1"
  debian_sources
  apt_get source --only-source kubernetes/bookworm
  mkdir -p programs gopath/src/k8s.io
  mv kubernetes-1.20*/ gopath/src/k8s.io/kubernetes
  cd gopath/src/k8s.io/kubernetes
  printf "KUBE_GIT_%s='%s'\n" COMMIT unknown TREE_STATE clean VERSION v1.20.2 MAJOR 1 MINOR 20 >"$1/version"
  PATH=/usr/lib/go-1.19/bin:$PATH GOPATH=$1/gopath GOCACHE=$1/cache GO111MODULE=off GOLDFLAGS='-s -w' KUBE_GIT_VERSION_FILE=$1/version \
    nice make all WHAT='cmd/kube-apiserver cmd/kubelet cmd/kube-controller-manager cmd/kube-scheduler cmd/kube-proxy'
  mv _output/local/bin/linux/*/kube* "$1/programs"
}
