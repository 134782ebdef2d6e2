//! The evidence of a selection: any bytes are a file that picks again or refuses, or an error; and what picks does so twice
//! alike.
#![no_main]

use gleaner_fuzz::data_selector::Evidence;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match Evidence::read(bytes) {
        Ok(evidence) => match (evidence.select_again(), evidence.select_again()) {
            (Ok(one), Ok(again)) => {
                assert_eq!(one, again);
                assert!(one.picks.len() <= evidence.ids.len());
            }
            (Err(error), Err(_)) => assert!(!error.to_string().is_empty()),
            (one, again) => panic!("{one:?} is not {again:?}"),
        },
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
