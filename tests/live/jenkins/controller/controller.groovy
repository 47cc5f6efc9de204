import groovy.json.JsonSlurper
import org.codehaus.groovy.control.CompilerConfiguration

/*
 * A Jenkins in small: groovy -cp CONTROLLER:LIBRARY/src controller.groovy LIBRARY JENKINSFILE WORKSPACE SETTINGS
 *
 * It runs the scripts of the library as they are, their steps bound to a real shell. SETTINGS is JSON: env, credentials,
 * pods (a file for what podTemplate was given), home. The sources are in WORKSPACE already. The word `abort` on standard
 * input aborts the job. The log ends with how the job ended.
 */
def (library, jenkinsfile, workspace, settings) = args as List
Job job = new Job(new File(workspace), new File(library), new JsonSlurper().parse(new File(settings)) as Map)

CompilerConfiguration steps = new CompilerConfiguration(scriptBaseClass: 'Steps')
GroovyShell shell = new GroovyShell(getClass().classLoader, new Binding(), steps)
Binding binding = new Binding([job: job, library: [:]])
new File(library, 'vars').eachFileMatch(~/.*\.groovy/) { file ->
  Script one = shell.parse(file)
  one.binding = binding
  binding.getVariable('library')[file.name - '.groovy'] = one
}

Thread.startDaemon {
  System.in.eachLine { if (it == 'abort') job.abort() }
}
try {
  Script pipeline = shell.parse(new File(jenkinsfile))
  pipeline.binding = binding
  pipeline.run()
  Job.log('Finished: SUCCESS')
} catch (FlowInterruptedException aborted) {
  Job.log('Finished: ABORTED')
  System.exit(3)
} catch (AbortException failure) {
  Job.log("ERROR: ${failure.message}")
  Job.log('Finished: FAILURE')
  System.exit(1)
} catch (Throwable defect) {
  defect.printStackTrace(System.out)
  Job.log('Finished: FAILURE')
  System.exit(2)
}
System.exit(0)
