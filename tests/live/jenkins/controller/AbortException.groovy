/** What `error` and a failed `sh` throw: the log has the message, and no trace. */
class AbortException extends Exception {
  AbortException(String message) { super(message) }
}
