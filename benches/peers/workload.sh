# Sourced by peers.sh: what is built. Sizes are in MiB; what the steps make differs in each run and cannot be compressed.
# shellcheck shell=bash disable=SC2154

# The base image: busybox and 60 MiB.
make_base() {
  local tree
  tree=$(mktemp -d "$keep/base.XXXXXX")
  chmod 755 "$tree"
  tar -C "$tree" -xzf "$bed/base.tar.gz"
  mkdir -p "$tree/usr/lib"
  head -c 60M /dev/urandom >"$tree/usr/lib/runtime"
  tar -C "$tree" --owner=0 --group=0 --numeric-owner -c . | gzip -1 >"$1"
  rm -rf "$tree"
}

# step SECONDS MIB FILE: a RUN that makes a file and takes that long in all, without burning the processor.
step() { echo "RUN sleep $1 & mkdir -p ${3%/*} && head -c ${2}m /dev/urandom >$3 || exit 1; wait"; }

# Two stages: dependencies of 20 s, then the source; a final stage that shares nothing with them but the base.
two_stages() {
  cat <<EOF
FROM $registry/base:1 AS builder
WORKDIR /app
COPY app.lock .
$(step 20 200 /deps/all)
COPY src src
$(step 4 5 /out/app)
FROM $registry/base:1
$(step 6 120 /srv/system)
COPY --from=builder /out/app /srv/app
CMD ["/srv/app"]
EOF
}

# Four stages, of which the source is needed by one.
four_stages() {
  cat <<EOF
FROM $registry/base:1 AS deps
WORKDIR /app
COPY app.lock .
$(step 12 120 /deps/all)
FROM $registry/base:1 AS tools
$(step 5 40 /tools/all)
FROM deps AS builder
COPY --from=tools /tools /tools
COPY src src
$(step 4 5 /out/app)
FROM $registry/base:1
$(step 6 120 /srv/system)
COPY --from=builder /out/app /srv/app
CMD ["/srv/app"]
EOF
}

# Short steps, for what a registry that never answers costs.
short_stages() {
  cat <<EOF
FROM $registry/base:1 AS builder
$(step 2 2 /out/app)
FROM $registry/base:1
$(step 1 2 /srv/system)
COPY --from=builder /out/app /srv/app
EOF
}

make_context() {
  local dir=$1 n
  mkdir -p "$dir/src"
  echo "lock 1" >"$dir/app.lock"
  for n in {1..200}; do head -c 10K /dev/urandom >"$dir/src/file$n"; done
}

make_contexts() {
  local dir=$keep/contexts
  [[ ! -d $dir ]] || return 0
  rm -rf "$dir.new"
  make_context "$dir.new/two"
  two_stages >"$dir.new/two/Dockerfile"
  cp -a "$dir.new/two" "$dir.new/source"
  echo changed >"$dir.new/source/src/file1"
  cp -a "$dir.new/two" "$dir.new/deps"
  echo "lock 2" >"$dir.new/deps/app.lock"
  make_context "$dir.new/four"
  four_stages >"$dir.new/four/Dockerfile"
  cp -a "$dir.new/four" "$dir.new/four-source"
  echo changed >"$dir.new/four-source/src/file1"
  mkdir "$dir.new/short"
  short_stages >"$dir.new/short/Dockerfile"
  mv "$dir.new" "$dir"
}
