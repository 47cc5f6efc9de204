import dev.remora.Client
import dev.remora.Flags

/**
 * Says what remoraBuild with the same parameters would do about cache, and why; nothing is run or written.
 *
 * @return the plan, as `remora plan --json` has it
 */
def call(Map given = [:]) {
  String context = given.context == null ? '.' : given.context
  return Client.json(new Client(this, 'remoraPlan').run(['plan', '--json'], Flags.BUILD, given, [context], 'output'))
}
