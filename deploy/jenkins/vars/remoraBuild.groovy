import dev.remora.Client
import dev.remora.Flags

/**
 * Builds an image, and pushes it with {@code push: true}. remoraBuild.txt has the parameters.
 *
 * @return digest, imageId and tags of what was built, and under metadata all that --metadata-file says
 */
def call(Map given = [:]) {
  String context = given.context == null ? '.' : given.context
  String text = new Client(this, 'remoraBuild').run(['build'], Flags.BUILD, given, [context], 'metadata')
  Map metadata = Client.json(text)
  // Where nothing was pushed, the image has no digest of a registry.
  String digest = metadata.remora.digest ?: null
  return [digest: digest, imageId: metadata.remora.imageId, tags: metadata.remora.tags, metadata: metadata]
}
