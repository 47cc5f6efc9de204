/** What a step throws that Jenkins aborts. */
class FlowInterruptedException extends Exception {
  FlowInterruptedException() { super('Aborted') }
}
