package dev.remora

import com.cloudbees.groovy.cps.NonCPS

/**
 * Credentials of Jenkins, and how they reach the client: Jenkins binds them to variables and files of the step, and the
 * shell passes them on in the client's environment. None is ever a string of the pipeline, which Jenkins would save, or a
 * word of a command line, which others could read.
 */
class Logins implements Serializable {
  /**
   * What {@code withCredentials} is given. The long form of each binding: the short one would be a step, and steps may not
   * be called here.
   */
  @NonCPS
  static List bindings(Map given) {
    List found = []
    registries(given).eachWithIndex { host, i ->
      found << [$class: 'UsernamePasswordMultiBinding', credentialsId: given.credentials[host].toString(),
                usernameVariable: Logins.user(i), passwordVariable: Logins.password(i)]
    }
    names(given, 'secretTexts').eachWithIndex { id, i ->
      found << [$class: 'StringBinding', credentialsId: given.secretTexts[id].toString(), variable: Logins.variable('TEXT', i)]
    }
    names(given, 'secretFiles').eachWithIndex { id, i ->
      found << [$class: 'FileBinding', credentialsId: given.secretFiles[id].toString(), variable: Logins.variable('FILE', i)]
    }
    names(given, 'sshKeys').eachWithIndex { id, i ->
      found << [$class: 'SSHUserPrivateKeyBinding', credentialsId: given.sshKeys[id].toString(),
                keyFileVariable: Logins.variable('KEY', i)]
    }
    if (given.token != null) {
      found << [$class: 'StringBinding', credentialsId: given.token.toString(), variable: 'REMORA_TOKEN']
    }
    return found
  }

  /** The flags that name what was bound, as the shell reads them: the shell puts in the paths of files. */
  @NonCPS
  static List flags(Map given) {
    List found = []
    names(given, 'secretTexts').eachWithIndex { id, i ->
      found << Flags.quoted("--secret=id=${id},env=${Logins.variable('TEXT', i)}")
    }
    names(given, 'secretFiles').eachWithIndex { id, i ->
      found << Flags.quoted("--secret=id=${id},src=") + '"$' + Logins.variable('FILE', i) + '"'
    }
    names(given, 'sshKeys').eachWithIndex { id, i ->
      found << Flags.quoted("--ssh=${id}=") + '"$' + Logins.variable('KEY', i) + '"'
    }
    return found
  }

  /** Lines of shell that make DOCKER_AUTH_CONFIG of the bound logins; the shell must not trace them. */
  @NonCPS
  static List shell(Map given) {
    List hosts = registries(given)
    if (hosts.isEmpty()) return []
    List lines = [
      "command -v base64 >/dev/null || { echo 'remora: credentials need the program base64 in the image of this step' >&2; exit 2; }",
      "DOCKER_AUTH_CONFIG=''",
    ]
    hosts.eachWithIndex { host, i ->
      // printf belongs to the shell: no process has the password on its command line.
      lines << "login=\$(printf '%s:%s' \"\$${Logins.user(i)}\" \"\$${Logins.password(i)}\" | base64 | tr -d '\\n')".toString()
      lines << 'DOCKER_AUTH_CONFIG="${DOCKER_AUTH_CONFIG:+$DOCKER_AUTH_CONFIG,}"' +
        Flags.quoted("${Logins.json(host)}:{\"auth\":\"") + '"$login"' + "'\"}'"
    }
    lines << 'export DOCKER_AUTH_CONFIG="{\\"auths\\":{$DOCKER_AUTH_CONFIG}}"'
    return lines
  }

  @NonCPS
  private static List registries(Map given) {
    return names(given, 'credentials')
  }

  /** @throws WrongUse where it is no map */
  @NonCPS
  private static List names(Map given, String parameter) {
    Object map = given[parameter]
    if (map == null) return []
    if (!(map instanceof Map)) {
      String of = parameter == 'credentials' ? 'the registry' : 'the id'
      throw new WrongUse("${parameter} is a map from ${of} to the id of Jenkins' credentials")
    }
    return map.keySet().collect { it.toString() }
  }

  @NonCPS
  private static String json(String text) {
    return groovy.json.JsonOutput.toJson(text)
  }

  @NonCPS
  private static String user(int i) {
    return Logins.variable('USER', i)
  }

  @NonCPS
  private static String password(int i) {
    return Logins.variable('PASSWORD', i)
  }

  @NonCPS
  private static String variable(String what, int i) {
    return "REMORA_LOGIN_${what}_${i}".toString()
  }
}
