//! What must hold for any line on the control socket.

use super::wire;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;

/// A request or a response that is read can be written, and reads as the same again.
pub fn a_line_reads_back(line: &[u8]) {
    reads_back::<wire::Request>(line);
    reads_back::<wire::Response>(line);
}

fn reads_back<T: DeserializeOwned + Serialize + PartialEq + Debug>(line: &[u8]) {
    if let Ok(message) = wire::read::<T>(line) {
        let written = wire::line(&message).expect("what was read can be written");
        assert_eq!(written.iter().filter(|&&byte| byte == b'\n').count(), 1, "one line");
        assert_eq!(wire::read::<T>(&written).ok(), Some(message));
    }
}
