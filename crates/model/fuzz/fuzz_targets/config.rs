//! Never a panic; every mistake points into the text; what is accepted is accepted again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::Path;
use stoa_model::config::parse;

fuzz_target!(|text: &str| {
    match parse(text, Path::new("/site")) {
        Ok(site) => assert_eq!(parse(text, Path::new("/site")), Ok(site)),
        Err(errors) => {
            assert!(!errors.is_empty());
            assert!(errors.iter().all(|error| error.span.start <= error.span.end && error.span.end <= text.len()));
        }
    }
});
