import dev.remora.Pod
import dev.remora.WrongUse

/**
 * A pod with the agent and an engine beside it, and the body on a node in it. remoraPod.txt has the parameters.
 *
 * The pod's own YAML is the parent into which the caller's is merged, and not the other way round: of the security context
 * the plugin keeps the parent's, and without our group no step that is not root may use the agent's socket.
 */
def call(Map given = [:], Closure body) {
  Map inner = Pod.others(given) + [yamlMergeStrategy: merge()]
  Map outer = [yaml: yaml(given), yamlMergeStrategy: merge()]
  if (given.inheritFrom) outer.inheritFrom = inner.remove('inheritFrom')
  // The plugin looks for the parent in the cloud of the child.
  if (given.cloud) outer.cloud = given.cloud
  podTemplate(outer) {
    podTemplate(inner) {
      node(POD_LABEL) { body() }
    }
  }
}

/** The same YAML as text, for `agent { kubernetes { yaml ... } }` of a declarative pipeline. */
String yaml(Map given = [:]) {
  String image = given.agentImage ?: env.REMORA_AGENT_IMAGE
  try {
    return Pod.yaml(libraryResource('dev/remora/pod.yaml'), given, image)
  } catch (WrongUse wrong) {
    error("remoraPod: ${wrong.message}".toString())
  }
}
