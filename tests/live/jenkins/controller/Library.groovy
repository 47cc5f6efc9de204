/** {@code @Library('remora') _}: the library is there already. */
@interface Library {
  String[] value()
}
