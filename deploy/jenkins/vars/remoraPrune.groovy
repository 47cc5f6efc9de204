import dev.remora.Client
import dev.remora.Flags

/** Frees disk space of the engine: {@code remoraPrune(filter: 'unused-for=72h', keepBytes: '20GB', dryRun: true)}. */
def call(Map given = [:]) {
  new Client(this, 'remoraPrune').run(['prune'], Flags.PRUNE, given, [], null)
}
