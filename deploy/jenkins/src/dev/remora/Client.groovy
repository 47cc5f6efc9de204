package dev.remora

import com.cloudbees.groovy.cps.NonCPS

/** Runs the client in the container in which the pipeline is, and turns how it ended into Jenkins' terms. */
class Client implements Serializable {
  /** Exit codes of the client and of the shell, and what they mean to a pipeline. */
  private static final Map ENDS = [
    1: 'the build failed, in a step or in the Dockerfile; the lines above say where',
    2: 'a parameter, or the configuration, is wrong; the line above says which',
    10: 'the agent cannot be reached, or is full; in a pod, is its container there, and the volume remora at /run/remora?',
    11: 'the engine is not available: see the log of its container',
    12: 'a registry did not take or give what was asked; the lines above say what; logins are credentials: [\'HOST\': \'ID\']',
    13: 'the agent does not allow this; the line above says what',
    70: 'this is a defect of Remora',
    126: 'the client cannot be run in this image; it is a program for Linux',
    127: 'this container has no client: mount the volume remora at /run/remora, read-only',
    130: 'the build was ended with remora cancel; the line above says by whom',
    143: 'the client was terminated from outside Jenkins, as when the pod is deleted',
  ]

  private final Object steps
  private final String step

  /**
   * @param steps the script that calls, which has the pipeline's steps
   * @param step the name of the step, for messages
   */
  Client(Object steps, String step) {
    this.steps = steps
    this.step = step
  }

  /**
   * Runs the client. An end with another code than 0 is an error of the pipeline. When Jenkins aborts the step, its
   * signal reaches the client, which cancels the build; the interruption passes through here as it is.
   *
   * @param command the words before the flags, such as build
   * @param known the flags' parameters
   * @param given the parameters
   * @param operands the words after the flags
   * @param answer whether the client writes an answer: by `--metadata-file`, else on standard output; null for none
   * @return the answer, or null
   */
  String run(List command, Map known, Map given, List operands, String answer) {
    String file = answer == null ? null : "${steps.pwd(tmp: true)}/remora-${UUID.randomUUID()}.json".toString()
    List bindings = null
    Map shell = [returnStatus: true, label: "remora ${command[0]}".toString()]
    try {
      bindings = Logins.bindings(given)
      shell.script = script(command, known, given, operands, answer, file)
    } catch (WrongUse wrong) {
      steps.error("${step}: ${wrong.message}".toString())
    }
    int code = 0
    if (bindings.isEmpty()) {
      code = steps.sh(shell)
    } else {
      steps.withCredentials(bindings) { code = steps.sh(shell) }
    }
    String text = null
    if (file != null) {
      // In the same container and as the same user: the file may be nobody else's to read. Without a build there is none.
      String name = Flags.quoted(file)
      text = steps.sh(returnStdout: true, label: "the answer of ${step}".toString(),
                      script: "{ set +x; } 2>/dev/null; [ ! -e ${name} ] || { cat ${name}; rm -f ${name}; }".toString())
    }
    if (code != 0) steps.error(told(step, given, code))
    return text
  }

  /** What the shell runs. It becomes the client, so that signals reach that. */
  @NonCPS
  private static String script(List command, Map known, Map given, List operands, String answer, String file) {
    List words = ['exec', 'remora'] + command + Flags.words(known, given).collect { Flags.quoted(it) }
    words.addAll(Logins.flags(given))
    words.addAll(Flags.texts(given.args).collect { Flags.quoted(it) })
    if (answer == 'metadata') words << Flags.quoted("--metadata-file=${file}")
    words << '--'
    words.addAll(operands.collect { Flags.quoted(it) })
    // Jenkins traces what the shell runs. Logins are not for the log.
    List lines = ['{ set +x; } 2>/dev/null', 'PATH=/run/remora/bin:$PATH'] + Logins.shell(given)
    if (answer == 'output') lines << "exec >${Flags.quoted(file)}".toString()
    return (lines + ['set -x', words.join(' ')]).join('\n')
  }

  @NonCPS
  private static String told(String step, Map given, int code) {
    String what = Flags.texts(given.tags).take(1).collect { " ${it}" }.join('')
    return "${step}${what}: ${ENDS[code] ?: 'the client failed'} (exit code ${code})".toString()
  }

  /** JSON as maps, lists and plain values that Jenkins can save, with nothing that a sandbox refuses. */
  @NonCPS
  static Object json(String text) {
    return Client.plain(new groovy.json.JsonSlurper().parseText(text))
  }

  @NonCPS
  private static Object plain(Object value) {
    if (value instanceof Map) {
      Map copy = [:]
      value.each { key, of -> copy[key.toString()] = Client.plain(of) }
      return copy
    }
    if (value instanceof List) {
      List copy = []
      value.each { copy << Client.plain(it) }
      return copy
    }
    return value
  }
}
