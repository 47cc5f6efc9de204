package dev.remora

/** A parameter that is not known, or has a value of the wrong kind. */
class WrongUse extends Exception {
  WrongUse(String message) {
    super(message)
  }
}
