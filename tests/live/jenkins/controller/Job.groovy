import com.cloudbees.groovy.cps.NonCPS

/** One run of a pipeline: its workspace, its environment, its credentials, its log. */
class Job {
  final File workspace
  final File library
  final Map settings
  /** What the pipeline's steps have put around the code that runs, for each branch of `parallel` its own. */
  final InheritableThreadLocal<Map> around = new InheritableThreadLocal<Map>()
  /** Variables of the whole run: `env.X = ...`. */
  final Map variables = Collections.synchronizedMap([:])
  private final Set running = Collections.synchronizedSet(new HashSet())
  private volatile boolean aborted = false

  Job(File workspace, File library, Map settings) {
    this.workspace = workspace
    this.library = library
    this.settings = settings
    variables.putAll(settings.env)
    around.set([env: [:]])
    temporary().mkdirs()
  }

  static synchronized void log(String line) {
    System.out.println(line)
    System.out.flush()
  }

  File temporary() { new File(workspace.path + '@tmp') }

  Map environment() { variables + around.get().env + [WORKSPACE: workspace.path, HOME: settings.home] }

  /** Runs code with more variables, or pod templates. */
  def within(Map more, Closure body) {
    Map before = around.get()
    around.set([env: before.env + (more.env ?: [:]), templates: more.templates ?: before.templates])
    try { return body() } finally { around.set(before) }
  }

  /**
   * Every step comes through here: Jenkins saves what a step is given, and no step may be called from code that
   * it does not save.
   */
  void step(String name, Object arguments) {
    saved(arguments, name)
    def loader = getClass().classLoader
    new Throwable().stackTrace.each { frame ->
      Class type
      try { type = Class.forName(frame.className, false, loader) } catch (ClassNotFoundException gone) { return }
      boolean no = type.declaredMethods.any { it.name == frame.methodName && it.isAnnotationPresent(NonCPS) }
      if (no) throw new IllegalStateException("the step ${name} is called from @NonCPS ${frame.className}.${frame.methodName}")
    }
  }

  /** Fails for what Jenkins could not save. Code is left out: it is saved as the program that it belongs to. */
  static void saved(Object value, String what) {
    if (value instanceof Closure) return
    if (value instanceof Map) value = value.findAll { !(it.value instanceof Closure) }
    if (value instanceof Object[]) value = value.findAll { !(it instanceof Closure) }
    new ObjectOutputStream(new ByteArrayOutputStream()).writeObject(value)
  }

  /** `sh`, as the durable-task plugin has it: the script is a file, the shell traces it, a cookie marks its processes. */
  def sh(Map given) {
    if (aborted) throw new FlowInterruptedException()
    String cookie = 'durable-' + UUID.randomUUID()
    File control = new File(temporary(), cookie)
    control.mkdirs()
    File script = new File(control, 'script.sh'), output = new File(control, 'output.txt')
    script.text = given.script
    def builder = new ProcessBuilder('nohup', 'sh', '-xe', script.path).directory(workspace)
    builder.environment().clear()
    builder.environment().putAll(environment().collectEntries { k, v -> [k.toString(), v.toString()] })
    builder.environment().put('JENKINS_SERVER_COOKIE', cookie)
    builder.redirectInput(new File('/dev/null'))
    if (given.returnStdout) builder.redirectOutput(output) else builder.redirectErrorStream(true)
    Process process = builder.start()
    running << cookie
    def stream = given.returnStdout ? process.errorStream : process.inputStream
    stream.eachLine('UTF-8') { log(it) }
    int code = process.waitFor()
    running.remove(cookie)
    String text = given.returnStdout ? output.getText('UTF-8') : null
    control.deleteDir()
    if (aborted) {
      log("script returned exit code ${code}")
      throw new FlowInterruptedException()
    }
    if (given.returnStatus) return code
    if (code != 0) throw new AbortException("script returned exit code ${code}")
    return text
  }

  /** What the kubernetes plugin does in the container when a job is aborted. */
  void abort() {
    aborted = true
    log('Sending interrupt signal to process')
    running.each { cookie ->
      ['sh', '-c', "kill \$(grep -l 'JENKINS_SERVER_COOKIE=${cookie}' /proc/*/environ 2>/dev/null | cut -d / -f 3)".toString()].execute().waitFor()
    }
  }
}
