use super::*;
use std::os::unix::fs::MetadataExt;

fn name(text: &str) -> VariableName {
    serde_json::from_value(text.into()).unwrap()
}

fn world() -> (tempfile::TempDir, Paths, Secrets) {
    let folder = tempfile::tempdir().unwrap();
    let paths = Paths::new(folder.path());
    let secrets = Secrets::open(&paths);
    (folder, paths, secrets)
}

#[test]
fn secrets_are_kept_encrypted_and_given_by_name() {
    let (_folder, paths, secrets) = world();
    assert_eq!(secrets.names().unwrap(), []);
    assert!(!paths.secrets_key().exists(), "reading makes nothing");
    secrets.set(&name("STRIPE_KEY"), "sk_live_\"quoted\"\nsecond line ü").unwrap();
    secrets.set(&name("SMTP_PASSWORD"), "hunter2-hunter2").unwrap();
    secrets.set(&name("SMTP_PASSWORD"), "changed-changed").unwrap();
    assert_eq!(secrets.names().unwrap(), [name("SMTP_PASSWORD"), name("STRIPE_KEY")]);
    let values = secrets.values(&[name("STRIPE_KEY")]).unwrap();
    assert_eq!(values, BTreeMap::from([("STRIPE_KEY".into(), "sk_live_\"quoted\"\nsecond line ü".into())]));
    for file in [paths.secrets(), paths.secrets_key()] {
        assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o600, "{file:?}");
        let text = String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned();
        for hidden in ["STRIPE", "sk_live", "hunter2", "changed"] {
            assert!(!text.contains(hidden), "{hidden} in {file:?}");
        }
    }
    assert!(secrets.unset(&name("STRIPE_KEY")).unwrap());
    assert!(!secrets.unset(&name("STRIPE_KEY")).unwrap());
    assert_eq!(secrets.names().unwrap(), [name("SMTP_PASSWORD")]);
    assert!(!format!("{secrets:?}").contains("changed"));
}

#[test]
fn one_that_was_never_set_is_named_with_what_to_type() {
    let (_folder, _, secrets) = world();
    secrets.set(&name("THERE"), "x").unwrap();
    assert!(secrets.values(&[]).unwrap().is_empty());
    let error = secrets.values(&[name("THERE"), name("GONE")]).unwrap_err().to_string();
    assert_eq!(error, "the secret GONE has no value: stoa secrets set GONE");
    let error = secrets.values(&[name("GONE"), name("FAR")]).unwrap_err().to_string();
    assert_eq!(error, "the secrets GONE, FAR have no value: stoa secrets set GONE, stoa secrets set FAR");
}

#[test]
fn what_no_process_could_be_given_is_refused_without_saying_it() {
    let (_folder, paths, secrets) = world();
    let long = "s3cret".repeat(VALUE_MAX / 6 + 1);
    for value in ["s3cret\0", &long] {
        let error = secrets.set(&name("A"), value).unwrap_err();
        assert!(matches!(error, SecretsError::Refused { .. }));
        assert!(!error.to_string().contains("s3cret") && !format!("{error:?}").contains("s3cret"), "{error}");
    }
    assert!(!paths.secrets().exists());
    let large = "x".repeat(VALUE_MAX);
    let mut set = 0;
    let error = loop {
        match secrets.set(&name(&format!("A{set}")), &large) {
            Ok(()) => set += 1,
            Err(error) => break error.to_string(),
        }
    };
    assert!(error.contains("more than 1 MB") && set == 15, "{set} {error}");
    assert_eq!(secrets.names().unwrap().len(), 15, "the others stay");
}

#[test]
fn what_is_lost_or_damaged_says_what_to_do_and_is_never_overwritten() {
    let (_folder, paths, secrets) = world();
    secrets.set(&name("A"), "value-value").unwrap();
    let (file, key) = (std::fs::read(paths.secrets()).unwrap(), std::fs::read(paths.secrets_key()).unwrap());
    let refused = |what: &str, words: &str| {
        for error in [secrets.names().unwrap_err(), secrets.set(&name("B"), "other-other").unwrap_err()] {
            let text = error.to_string();
            assert!(text.contains(words) && text.contains("backup"), "{what}: {text}");
            assert!(!text.contains("value-value") && !format!("{error:?}").contains("value-value"));
        }
    };
    std::fs::remove_file(paths.secrets_key()).unwrap();
    refused("no key", "is missing, and without it nobody can read");
    assert!(!paths.secrets_key().exists(), "a new key would make the loss final");
    std::fs::write(paths.secrets_key(), "AGE-SECRET-KEY-1NONSENSE\n").unwrap();
    refused("a broken key", "is damaged");
    let other = Identity::generate().to_string();
    std::fs::write(paths.secrets_key(), other.expose_secret()).unwrap();
    refused("another key", "was not encrypted with the key");
    std::fs::write(paths.secrets_key(), &key).unwrap();
    let mut flipped = file.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for damaged in [&flipped[..], &file[..file.len() - 5], &file[..20], b""] {
        std::fs::write(paths.secrets(), damaged).unwrap();
        refused("a damaged file", "is damaged");
        assert_eq!(std::fs::read(paths.secrets()).unwrap(), damaged);
    }
    let recipient: Identity = String::from_utf8(key).unwrap().trim().parse().unwrap();
    std::fs::write(paths.secrets(), encrypt(&recipient, b"[\"value-value\"]").unwrap()).unwrap();
    refused("something else", "no list of secrets");
    std::fs::write(paths.secrets(), &file).unwrap();
    assert_eq!(secrets.names().unwrap(), [name("A")]);
}

#[test]
fn two_writers_at_once_lose_nothing() {
    let (_folder, _, secrets) = world();
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let secrets = secrets.clone();
            std::thread::spawn(move || {
                for number in 0..8 {
                    secrets.set(&name(&format!("W{writer}_{number}")), "x").unwrap();
                }
            })
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    assert_eq!(secrets.names().unwrap().len(), 32);
}
