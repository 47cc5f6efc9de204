/** Interprets the blocks of a declarative pipeline that the examples use. What it does not know is an error. */
class Declarative {
  private final Steps steps
  Declarative(Steps steps) { this.steps = steps }

  void run(Closure body) {
    Section whole = read(body)
    steps.job.within([env: whole.variables]) {
      whole.stages.each { name, stage ->
        Section one = read(stage)
        if (one.conditions.every()) {
          steps.stage(name, one.work)
        } else {
          steps.job.log("Stage \"${name}\" skipped due to when conditional")
        }
      }
    }
  }

  private Section read(Closure body) {
    Section section = new Section(steps)
    on(section, body)
    return section
  }

  /** Runs a block whose words are methods of this. */
  static void on(Object words, Closure body) {
    body.delegate = words
    body.resolveStrategy = Closure.DELEGATE_FIRST
    body()
  }
}

/** `pipeline` or `stage`. */
class Section {
  private final Steps script
  final Map variables = [:]
  final Map stages = [:]
  final List conditions = []
  Closure work
  Section(Steps script) { this.script = script }

  void agent(Closure body) { Declarative.on(this, body) }
  void kubernetes(Closure body) { Declarative.on(this, body) }
  void yaml(String text) { script.podTemplate([yaml: text]) {} }
  void environment(Closure body) { Declarative.on(new Assignments(variables), body) }
  void stages(Closure body) { Declarative.on(this, body) }
  void stage(String name, Closure body) { stages[name] = body }
  void when(Closure body) { Declarative.on(this, body) }
  void branch(String name) { conditions << (script.env.BRANCH_NAME == name) }
  void steps(Closure body) { work = body }
}

/** `environment`, in which `X = 'y'` sets a variable. */
class Assignments {
  private Map into
  Assignments(Map into) { this.@into = into }
  void setProperty(String name, Object value) { this.@into[name] = value.toString() }
}
