/** Interprets the blocks of a declarative pipeline that the examples use. What it does not know is an error. */
class Declarative {
  private final Steps steps
  Declarative(Steps steps) { this.steps = steps }

  void run(Closure body) {
    Section whole = read(body)
    steps.job.within([env: whole.environment]) { around(whole) { stages(whole.stages) } }
  }

  private void stages(List all) {
    all.each { name, body ->
      Section one = read(body)
      if (!one.when.every { it }) {
        steps.job.log("Stage \"${name}\" skipped due to when conditional")
        return
      }
      steps.stage(name) {
        steps.job.within([env: one.environment]) {
          around(one) {
            if (one.parallel) steps.parallel(one.parallel.collectEntries { n, b -> [n, { stages([[n, b]]) }] })
            if (one.stages) stages(one.stages)
            if (one.work) one.work()
          }
        }
      }
    }
  }

  /** Runs it, and then what `post` says for how it ended. */
  private void around(Section section, Closure body) {
    List ends = ['always', 'success']
    try {
      body()
    } catch (Throwable failure) {
      ends = failure instanceof FlowInterruptedException ? ['always', 'aborted', 'unsuccessful'] : ['always', 'failure', 'unsuccessful']
      throw failure
    } finally {
      (ends + ['cleanup']).each { if (section.post[it]) section.post[it]() }
    }
  }

  private Section read(Closure body) {
    Section section = new Section(steps)
    section.read(body)
    return section
  }
}

class Section {
  private final Steps script
  Map environment = [:]
  Map post = [:]
  List stages = []
  List parallel = []
  List when = []
  Closure work
  Section(Steps script) { this.script = script }

  void read(Closure body) { on(this, body) }

  private static on(Object delegate, Closure body) {
    Closure copy = body.clone()
    copy.delegate = delegate
    copy.resolveStrategy = Closure.DELEGATE_FIRST
    return copy()
  }

  void agent(Object any) {
    if (any instanceof Closure) on(new Kubernetes(script), any)
  }
  Object getAny() { 'any' }
  Object getNone() { 'none' }
  void options(Closure body) {}
  void parameters(Closure body) {}
  void triggers(Closure body) {}
  void environment(Closure body) { on(new Assignments(environment), body) }
  void stages(Closure body) { on(new Stages(stages), body) }
  void parallel(Closure body) { on(new Stages(parallel), body) }
  void when(Closure body) { on(new Conditions(script, when), body) }
  void steps(Closure body) { work = body }
  void post(Closure body) { on(new Posts(post), body) }
}

/** `kubernetes { yaml ... }` */
class Kubernetes {
  private final Steps script
  private final Map given = [:]
  Kubernetes(Steps script) { this.script = script }
  void kubernetes(Closure body) {
    body.delegate = this
    body.resolveStrategy = Closure.DELEGATE_FIRST
    body()
    script.podTemplate(given) {}
  }
  void yaml(String text) { given.yaml = text }
  void inheritFrom(String name) { given.inheritFrom = name }
  void yamlMergeStrategy(Object strategy) { given.yamlMergeStrategy = strategy }
  void defaultContainer(String name) { given.defaultContainer = name }
}

class Assignments {
  private Map into
  Assignments(Map into) { this.@into = into }
  void setProperty(String name, Object value) { this.@into[name] = value.toString() }
}

class Stages {
  private final List into
  Stages(List into) { this.into = into }
  void stage(String name, Closure body) { into << [name, body] }
}

class Posts {
  private final Map into
  Posts(Map into) { this.into = into }
  def invokeMethod(String name, Object arguments) { into[name] = arguments[0] }
}

class Conditions {
  private final Steps script
  private final List into
  Conditions(Steps script, List into) { this.script = script; this.into = into }
  void branch(String name) { into << (script.env.BRANCH_NAME == name) }
  void changeRequest() { into << (script.env.CHANGE_ID != null) }
  void expression(Closure body) { into << (body() as boolean) }
  void not(Closure body) {
    List inner = []
    body.delegate = new Conditions(script, inner)
    body.resolveStrategy = Closure.DELEGATE_FIRST
    body()
    into << !inner.every { it }
  }
}
