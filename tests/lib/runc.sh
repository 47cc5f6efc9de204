#!/bin/bash
# Stands for runc (engine.sh's REMORA_ENGINE_RUNTIME) where a machine lacks CAP_SYS_RESOURCE, as CI's may: containers get
# on without it. The bundle is changed, and then runc runs.
for word; do
  [[ $before != --bundle ]] || file=$word/config.json
  [[ $before != --process ]] || file=$word
  before=$word
done
if [[ -n $file ]]; then
  jq 'def lesser: del(.oomScoreAdj) | if .capabilities then .capabilities |= map_values(. - ["CAP_SYS_RESOURCE"]) else . end;
    if .process then .process |= lesser else lesser end' "$file" >"$file.new" && cat "$file.new" >"$file"
  rm -f "$file.new"
fi
exec runc "$@"
