import groovy.json.JsonOutput

/** The steps of Jenkins that the library and the examples use, done by a real shell on this machine. */
abstract class Steps extends Script {
  Job getJob() { binding.getVariable('job') }
  Object getScm() { 'the sources of this Jenkinsfile' }
  Object getEnv() { new Variables(job) }
  String getPOD_LABEL() { job.around.get().templates ? 'a-pod' : { throw new MissingPropertyException('POD_LABEL') }() }

  def sh(Map given) { job.step('sh', given); job.sh(given) }
  def sh(String script) { sh([script: script]) }
  void echo(Object message) { job.step('echo', message); job.log(message.toString()) }
  void error(Object message) { job.step('error', message); throw new AbortException(message.toString()) }
  String pwd(Map given = [:]) { job.step('pwd', given); given.tmp ? job.temporary().path : job.workspace.path }
  String libraryResource(String name) { job.step('libraryResource', name); new File(job.library, "resources/${name}").text }
  /** As the git plugin: the sources are there, and the answer tells the commit. */
  Map checkout(Object what) { [GIT_COMMIT: env.GIT_COMMIT] }
  Object merge() { 'merge' }

  def stage(String name, Closure body) { job.log("[Pipeline] { (${name})"); body() }
  def node(String label = null, Closure body) { body() }
  def container(String name, Closure body) { job.step('container', name); body() }
  def script(Closure body) { body() }

  def podTemplate(Map given, Closure body) {
    job.step('podTemplate', given)
    List templates = (job.around.get().templates ?: []) + [given]
    new File(job.settings.pods).text = JsonOutput.toJson(templates)
    job.within([templates: templates], body)
  }

  /** The short form of a binding. */
  Map file(Map given) { [$class: 'FileBinding'] + given }

  def withCredentials(List bindings, Closure body) {
    job.step('withCredentials', bindings)
    Map env = [:]
    List files = []
    bindings.each { Map of ->
      def secret = job.settings.credentials[of.credentialsId]
      if (secret == null) throw new AbortException("Could not find credentials entry with ID '${of.credentialsId}'")
      def file = {
        File made = File.createTempFile('secret', '', job.temporary())
        made.text = it
        files << made
        made.path
      }
      switch (of['$class']) {
        case 'UsernamePasswordMultiBinding':
          env[of.usernameVariable] = secret.username
          env[of.passwordVariable] = secret.password
          break
        case 'FileBinding': env[of.variable] = file(secret.content); break
        case 'StringBinding': env[of.variable] = secret.text; break
        case 'SSHUserPrivateKeyBinding': env[of.keyFileVariable] = file(secret.key); break
        default: throw new IllegalArgumentException("no binding ${of}")
      }
    }
    try { return job.within([env: env], body) } finally { files*.delete() }
  }

  def parallel(Map branches) {
    List failures = Collections.synchronizedList([])
    List threads = branches.collect { name, body ->
      Thread.start { try { body() } catch (Throwable failure) { failures << failure } }
    }
    threads*.join()
    if (failures) throw failures[0]
  }

  /** Declarative pipelines. */
  def pipeline(Closure body) { new Declarative(this).run(body) }

  /** A name that is none of these is one of the library's. */
  def methodMissing(String name, Object arguments) {
    def step = binding.getVariable('library')[name]
    if (step == null) throw new MissingMethodException(name, getClass(), arguments as Object[])
    def answer = step.call(*(arguments as List))
    if (!(answer instanceof Closure)) job.saved(answer, name)
    return answer
  }

  def propertyMissing(String name) {
    def step = binding.getVariable('library')[name]
    if (step == null) throw new MissingPropertyException(name, getClass())
    return step
  }
}

/** `env`. */
class Variables {
  private Job job
  Variables(Job job) { this.@job = job }
  def getProperty(String name) { this.@job.environment()[name] }
  void setProperty(String name, Object value) { this.@job.variables[name] = value.toString() }
}
