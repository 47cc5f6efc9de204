package dev.remora

import com.cloudbees.groovy.cps.NonCPS

/** The pod's YAML. Jenkins has no parser for it without a further plugin, so the parts are put in as JSON, which is YAML. */
class Pod implements Serializable {
  private static final List PARAMETERS = ['agentImage', 'engineImage', 'agentArgs', 'engineArgs', 'containers']

  /** @throws WrongUse where no agent's image is named */
  @NonCPS
  static String yaml(String template, Map given, String agentImage) {
    if (!agentImage) {
      throw new WrongUse("name the agent's image: agentImage: 'registry.example/remora-agent:0.1.0', " +
        "or REMORA_AGENT_IMAGE in Jenkins' global properties")
    }
    // The version of our own engine; of another one the caller knows it.
    List version = given.engineImage ? [] : ['--engine-version=28']
    Map parts = [
      AGENT_IMAGE: Pod.json(agentImage),
      ENGINE_IMAGE: Pod.json(given.engineImage ?: 'docker:28-dind'),
      AGENT: list(Flags.texts(given.agentArgs)),
      PREPARE: list(['prepare-engine'] + version + Flags.texts(given.engineArgs)),
      CONTAINERS: containers(given.containers),
    ]
    return parts.inject(template) { text, name, part -> text.replace("@${name}@".toString(), part) }
  }

  /** The parameters that are not ours, which podTemplate takes. */
  @NonCPS
  static Map others(Map given) {
    Map rest = [:]
    given.each { name, value -> if (!(name in PARAMETERS)) rest[name.toString()] = value }
    return rest
  }

  /** Containers for steps, which wait until one comes: `[node: 'node:22']`. */
  @NonCPS
  private static String containers(Object images) {
    if (images == null) return ''
    if (!(images instanceof Map)) throw new WrongUse("containers is a map from names to images; others belong into yaml")
    return images.collect { name, image ->
      """\
    - name: ${Pod.json(name)}
      image: ${Pod.json(image)}
      command: [sleep, 99d]
      volumeMounts:
        - {name: remora, mountPath: /run/remora, readOnly: true}"""
    }.join('\n')
  }

  @NonCPS
  private static String list(List words) {
    return '[' + words.collect { Pod.json(it) }.join(', ') + ']'
  }

  @NonCPS
  private static String json(Object text) {
    return groovy.json.JsonOutput.toJson(text.toString())
  }
}
