# Measurements > a Markdown table, and the lines of what must be reached. Lines of the input, by tabs:
#   engine method case seconds bytes-from bytes-to status digest | version TEXT | command TEXT
BEGIN {
  FS = "\t"
  columns = split("cold same source deps branch four", column, " ")
  title["cold"] = "nothing cached"; title["same"] = "nothing changed"; title["source"] = "source changed"
  title["deps"] = "dependencies changed"; title["branch"] = "new branch"; title["four"] = "four stages, source changed"
  split(names, pair, ";")
  for (i in pair) { split(pair[i], part, "="); name[part[1]] = part[2] }
}
$1 == "version" || $1 == "command" { if (!seen[$0]++) said[$1] = said[$1] (said[$1] == "" ? "" : $1 == "version" ? ", " : "; ") $2; next }
{
  row = $1 SUBSEP $2
  if (!seen[row]++) { rows[++rowcount] = row; if (!seen[$1]++) engines[++enginecount] = $1 }
  key = row SUBSEP $3
  if ($7 != 0) { failed[key]++; next }
  n = ++count[key]
  if ($8 != "same") other[key] = 1
  seconds[key, n] = $4; from[key, n] = $5 / 1e6; to[key, n] = $6 / 1e6
  if ($3 !~ /^mute/ && n > most) most = n
}
# The median of values[key, 1 ...].
function median(values, key,    n, i, j, swap, sorted) {
  n = count[key]
  for (i = 1; i <= n; i++) sorted[i] = values[key, i]
  for (i = 2; i <= n; i++)
    for (j = i; j > 1 && sorted[j - 1] > sorted[j]; j--) { swap = sorted[j]; sorted[j] = sorted[j - 1]; sorted[j - 1] = swap }
  return n % 2 ? sorted[(n + 1) / 2] : (sorted[n / 2] + sorted[n / 2 + 1]) / 2
}
function at(engine, method, what) { return engine SUBSEP method SUBSEP what }
function short(mb) { return sprintf((mb < 1 ? "%.2f" : mb < 100 ? "%.1f" : "%.0f"), mb) }
# The least seconds of the peers on an engine; 0 where there is none.
function best(engine, what,    i, part, key, least, s) {
  for (i = 1; i <= rowcount; i++) {
    split(rows[i], part, SUBSEP)
    key = at(part[1], part[2], what)
    if (part[1] != engine || part[2] == "remora" || !count[key]) continue
    s = median(seconds, key)
    if (!least || s < least) least = s
  }
  return least
}
function cell(engine, method, what,    key, s, text, least) {
  key = at(engine, method, what)
  if (!count[key]) return failed[key] ? "failed" : "–"
  s = median(seconds, key)
  text = sprintf("%s s, %s↓ %s↑", sprintf((s < 1 ? "%.2f" : "%.1f"), s), short(median(from, key)), short(median(to, key)))
  if (method == "remora" && (least = best(engine, what))) text = text sprintf(", **%.2f**", s / least)
  return text (failed[key] ? ", " failed[key] " more failed" : "")
}
function check(what, engine, measured, limit, good) {
  checks = checks sprintf("| %s | %s | %s | %s | %s |\n", what, engine, measured, limit, good ? "yes" : "NO")
}
function check_at_once(engine, what,    key) {
  key = at(engine, "remora", what)
  if (!count[key]) return
  check(title[what] ", two tags", engine, sprintf("%.2f s, %.0f KB, %s digest", median(seconds, key), \
    median(from, key) * 1000, other[key] ? "another" : "the same"), \
    "0.5 s, 100 KB", median(seconds, key) <= 0.5 && median(from, key) <= 0.1)
}
function check_engine(engine,    key, s, peer, off) {
  check_at_once(engine, "same")
  check_at_once(engine, "branch")
  key = at(engine, "remora", "source")
  if (count[key] && (peer = best(engine, "source"))) {
    s = median(seconds, key)
    check("source changed, against the best peer; dependencies not made again", engine, sprintf("%.2f%s", s / peer, \
      s < 20 ? "" : ", made again"), "0.82", s / peer <= 0.82 && s < 20)
  }
  key = at(engine, "remora", "cold")
  peer = at(engine, "inline", "cold")
  if (count[key] && count[peer]) {
    s = median(seconds, key) / median(seconds, peer)
    check("nothing cached, against inline cache of one image", engine, sprintf("%.3f", s), "1.000", s <= 1)
  }
  key = at(engine, "remora", "mute-on")
  off = at(engine, "remora", "mute-off")
  if (count[key] && count[off]) {
    s = median(seconds, key) - median(seconds, off)
    check("a cache repository that never answers, against no cache, medians of " count[key] " turns", engine, sprintf("%+.2f s", s), "+2.0 s", s <= 2)
  } else if (failed[key]) check("a cache repository that never answers", engine, "failed", "+2.0 s", 0)
}
END {
  printf "%s, `%s`, %s. %s.\n\n", date, said["command"], (most > 1 ? "medians of up to " most : "one run of each case"), said["version"]
  print "Seconds; MB from the registry (↓) and to it (↑); Remora's ratio to the best peer on the same engine.\n"
  line = "| engine | method |"; rule = "| --- | --- |"
  for (i = 1; i <= columns; i++) { line = line " " title[column[i]] " |"; rule = rule " --- |" }
  print line "\n" rule
  for (r = 1; r <= rowcount; r++) {
    split(rows[r], part, SUBSEP)
    line = "| " part[1] " | " name[part[2]] " |"
    for (i = 1; i <= columns; i++) line = line " " cell(part[1], part[2], column[i]) " |"
    print line
  }
  for (r = 1; r <= enginecount; r++) check_engine(engines[r])
  if (checks) printf "\n| measure | engine | measured | must reach | |\n| --- | --- | --- | --- | --- |\n%s", checks
}
