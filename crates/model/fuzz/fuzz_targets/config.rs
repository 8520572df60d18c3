//! Never a panic; every mistake points into the text; what is accepted is accepted again, in every
//! environment, and one that says nothing changes nothing of production.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::Path;
use stoa_model::EnvironmentName;
use stoa_model::config::{environments, parse, parse_environment};

fuzz_target!(|text: &str| {
    let folder = Path::new("/site");
    let names = environments(text);
    let read = parse(text, folder);
    for environment in &names {
        // All environments are judged whichever is asked for: the same mistakes, or as many sites.
        match (&read, parse_environment(text, folder, environment)) {
            (Ok(_), Ok(site)) => assert_eq!(&site.environment, environment),
            (Err(errors), Err(others)) => assert_eq!(errors, &others),
            (one, other) => panic!("{one:?} in production, {other:?} in {environment}"),
        }
    }
    match read {
        Ok(site) => {
            assert_eq!(parse(text, folder).as_ref(), Ok(&site));
            check_empty(text, folder, &site, &names);
        }
        Err(errors) => {
            assert!(!errors.is_empty());
            assert!(errors.iter().all(|error| error.span.start <= error.span.end && error.span.end <= text.len()));
        }
    }
});

/// Adds an environment that says nothing, where one can be added.
fn check_empty(text: &str, folder: &Path, site: &stoa_model::Site, names: &[EnvironmentName]) {
    let Ok(fresh) = "zz-fuzz".parse::<EnvironmentName>() else { return };
    let with = format!("{text}\n[environments.zz-fuzz]\n");
    // It may be no TOML (an inline table is closed), past the last port, or longer than a host name.
    let Ok(copy) = parse_environment(&with, folder, &fresh) else { return };
    assert!(!names.contains(&fresh));
    assert_eq!(parse(&with, folder).as_ref(), Ok(site));
    assert_eq!((&copy.app, &copy.web, &copy.deploy, &copy.source), (&site.app, &site.web, &site.deploy, &site.source));
}
