package dev.remora

import com.cloudbees.groovy.cps.NonCPS

/**
 * The named parameters of the steps, and the flags of the client that they stand for. No step is called here, so all of
 * it is {@code @NonCPS}: it runs in one go, and Jenkins never has to save it half done. Here and beside it, methods of a
 * class's own are called by the class's name: from within a closure the sandbox lets no others through.
 */
class Flags implements Serializable {
  // Name to flag and kind; what is no flag is dealt with elsewhere.
  private static final Map CONNECTION = [
    agent: ['--agent', 'text'], wait: ['--wait', 'text'], tlsCa: ['--tls-ca', 'text'],
    tlsCert: ['--tls-cert', 'text'], tlsKey: ['--tls-key', 'text'],
    token: [null, 'no flag'], args: [null, 'no flag'],
  ]

  static final Map BUILD = [
    tags: ['--tag', 'list'], dockerfile: ['--file', 'text'], target: ['--target', 'text'],
    buildArgs: ['--build-arg', 'pairs'], buildContexts: ['--build-context', 'pairs'], labels: ['--label', 'pairs'],
    annotations: ['--annotation', 'pairs'], attest: ['--attest', 'list'], provenance: ['--provenance', 'text'],
    sbom: ['--sbom', 'text'], platforms: ['--platform', 'list'], pull: ['--pull', 'switch'],
    push: ['--push', 'switch'], load: ['--load', 'switch'], output: ['--output', 'text'],
    noCache: ['--no-cache', 'switch'], noCacheFilter: ['--no-cache-filter', 'list'],
    cacheFrom: ['--cache-from', 'list'], cache: ['--cache', 'text'], cacheScope: ['--cache-scope', 'text'],
    cacheFallback: ['--cache-fallback', 'list'], cacheRepo: ['--cache-repo', 'text'],
    secrets: ['--secret', 'list'], ssh: ['--ssh', 'list'],
    network: ['--network', 'text'], allow: ['--allow', 'list'], addHosts: ['--add-host', 'list'],
    cgroupParent: ['--cgroup-parent', 'text'], shmSize: ['--shm-size', 'text'], ulimits: ['--ulimit', 'list'],
    progress: ['--progress', 'text'], context: [null, 'no flag'], credentials: [null, 'no flag'],
    secretTexts: [null, 'no flag'], secretFiles: [null, 'no flag'], sshKeys: [null, 'no flag'],
  ] + CONNECTION

  static final Map PUSH = [tags: [null, 'no flag'], credentials: [null, 'no flag']] + CONNECTION

  static final Map PRUNE = [
    all: ['--all', 'switch'], filter: ['--filter', 'list'], keepBytes: ['--keep-bytes', 'text'],
    dryRun: ['--dry-run', 'switch'],
  ] + CONNECTION

  /**
   * The words of a command line: every parameter as its flag. A parameter that is null is as one that is not there.
   *
   * @param known what the step takes: one of the maps above
   * @throws WrongUse for a name that is not known, and a value of another kind
   */
  @NonCPS
  static List words(Map known, Map given) {
    List words = []
    given.each { key, value ->
      String name = key
      if (!known.containsKey(name)) {
        throw new WrongUse("there is no parameter '${name}'; there are: ${known.keySet().sort().join(', ')}")
      }
      if (value == null || known[name][1] == 'no flag') return
      String flag = known[name][0]
      words.addAll(Flags.values(name, known[name][1], value).collect { it == null ? flag : "${flag}=${it}".toString() })
    }
    return words
  }

  /** The values that a flag is given, one for each time it stands there; null where it stands alone. */
  @NonCPS
  private static List values(String name, String kind, Object value) {
    boolean many = value instanceof Collection || value instanceof Map
    if (kind == 'switch') {
      // A string is true in Groovy even if it says 'false', as variables of the environment do.
      if (!(value instanceof Boolean)) throw new WrongUse("${name} is true or false, and not '${value}'")
      return value ? [null] : []
    }
    if (kind == 'text') {
      if (many) throw new WrongUse("${name} is one value, and no list or map")
      return [value.toString()]
    }
    if (kind == 'pairs' && value instanceof Map) {
      // A name without a value is taken from the environment.
      return value.collect { key, of -> of == null ? key.toString() : "${key}=${of}".toString() }
    }
    if (value instanceof Map) throw new WrongUse("${name} is a list, and no map")
    return texts(value)
  }

  /** A list of strings from a list, from one value, or from null. */
  @NonCPS
  static List texts(Object value) {
    if (value == null) return []
    return value instanceof Collection ? value.findAll { it != null }.collect { it.toString() } : [value.toString()]
  }

  /** A word as the shell reads it, whatever is in it. */
  @NonCPS
  static String quoted(Object word) {
    return "'" + word.toString().replace("'", "'\\''") + "'"
  }
}
