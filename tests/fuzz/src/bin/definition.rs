//! A recorded workflow: what is read keeps its digest when it is written and read again.
#![no_main]

use gleaner_fuzz::domain::definition::Definition;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(definition) = serde_json::from_slice::<Definition>(bytes) else { return };
    let again: Definition = serde_json::from_slice(&definition.canonical_bytes()).unwrap();
    assert_eq!(again, definition);
    assert_eq!(again.digest(), definition.digest());
});
