import dev.remora.Client
import dev.remora.Flags

/**
 * Pushes images that the engine holds: {@code remoraPush(tags: [...], credentials: [...])}.
 *
 * @return digests, one for each of the tags, sorted by the tags' names; and digest, the first of them
 */
def call(Map given = [:]) {
  String text = new Client(this, 'remoraPush').run(['push', '--quiet'], Flags.PUSH, given, Flags.texts(given.tags), 'output')
  List digests = text.readLines()
  return [digest: digests[0], digests: digests]
}
