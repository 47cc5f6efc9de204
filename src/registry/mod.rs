//! stub
/// x
pub struct Registry;
impl Registry { /// x
 pub fn new(_: &[String]) -> Self { Self } }
