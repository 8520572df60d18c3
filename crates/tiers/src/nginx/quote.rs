//! Values as words of `nginx.conf`.
//!
//! The types promise plain values already; this is the second wall. A value either stands in the file as
//! exactly one word or is refused.

use std::path::Path;
use stoa_model::Endpoint;
use stoa_model::endpoint::UNIX_PATH_MAX;
use stoa_model::site::{Domain, InnerPath, UrlPath};

/// A value that cannot stand in the file, and why.
pub(super) type Refused = String;

/// Any text as one quoted word. `$` cannot be escaped in nginx and would begin a variable.
pub(super) fn text(value: &str) -> Result<String, Refused> {
    if value.is_empty() || value.contains(|c: char| c.is_control() || c == '$') {
        return Err(format!(
            "{value:?} cannot stand in nginx.conf: it is empty or holds `$` or control characters"
        ));
    }
    Ok(format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")))
}

/// A path as one quoted word.
pub(super) fn path(path: &Path) -> Result<String, Refused> {
    let value = path.to_str().ok_or_else(|| format!("the path {path:?} is not UTF-8"))?;
    if !path.is_absolute() {
        return Err(format!("the path {value:?} is not absolute"));
    }
    text(value)
}

/// A path inside a folder of the release.
pub(super) fn inner(root: &Path, inner: &InnerPath) -> Result<String, Refused> {
    let value = inner.as_str();
    if Path::new(value).is_absolute() || value.split('/').any(|part| part == "..") {
        return Err(format!("{value:?} leads out of the release"));
    }
    path(&if value == "." { root.to_owned() } else { root.join(value) })
}

/// A host name, bare.
pub(super) fn domain(domain: &Domain) -> Result<&str, Refused> {
    let value = domain.as_str();
    let plain = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
    if value.is_empty() || value.len() > 253 || !value.bytes().all(plain) {
        return Err(format!("{value:?} is no host name"));
    }
    Ok(value)
}

/// A URL path, quoted, as the prefix of a location: with its closing slash.
pub(super) fn prefix(url: &UrlPath) -> Result<String, Refused> {
    let value = url.as_str();
    if !value.starts_with('/') || value.split('/').any(|part| part == "..") {
        return Err(format!("{value:?} is no absolute URL path"));
    }
    text(&format!("{}/", value.trim_end_matches('/')))
}

/// What lies below a URL path (with its closing slash) as a regular expression, quoted; the rest of the URL is
/// `$stoa_rest`.
pub(super) fn below(url: &str) -> Result<String, Refused> {
    let mut expression = String::from("~(?s)\\A");
    for c in url.chars() {
        if c.is_ascii() && !c.is_ascii_alphanumeric() && c != '/' {
            expression.push('\\');
        }
        expression.push(c);
    }
    text(&(expression + "(?<stoa_rest>.*)\\z"))
}

/// The rest of a URL below a folder of the release, quoted.
pub(super) fn below_folder(folder: Option<&InnerPath>) -> Result<String, Refused> {
    let Some(folder) = folder.filter(|folder| folder.as_str() != ".") else {
        return Ok("$stoa_rest".to_owned());
    };
    let quoted = inner(Path::new("/"), folder)?;
    // Without the slash that stands for the release.
    let inside = quoted.strip_prefix("\"/").and_then(|quoted| quoted.strip_suffix('"')).unwrap_or_default();
    Ok(format!("\"{inside}/$stoa_rest\""))
}

/// An endpoint as the address of `listen` and `server`.
pub(super) fn endpoint(endpoint: &Endpoint) -> Result<String, Refused> {
    match endpoint {
        Endpoint::Tcp(address) => Ok(address.to_string()),
        Endpoint::Unix(path) => {
            let value = path.to_str().ok_or_else(|| format!("the socket path {path:?} is not UTF-8"))?;
            if value.len() > UNIX_PATH_MAX {
                let length = value.len();
                return Err(format!(
                    "the socket path {value} has {length} bytes, the system allows {UNIX_PATH_MAX}; \
                     choose a shorter state folder with --state"
                ));
            }
            if value.contains(':') {
                return Err(format!("the socket path {value:?} holds a colon, which ends it for nginx"));
            }
            text(&format!("unix:{value}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_one_word_or_refused() {
        assert_eq!(text("x; } server {").unwrap(), "\"x; } server {\"");
        assert_eq!(text("a\"b\\c").unwrap(), "\"a\\\"b\\\\c\"");
        for value in ["", "a\nb", "$host", "a\0"] {
            assert!(text(value).is_err(), "{value:?}");
        }
        assert!(path(Path::new("relative")).is_err());
        assert!(endpoint(&Endpoint::Unix("/a:b".into())).is_err());
        assert!(endpoint(&Endpoint::Unix(format!("/{}", "x".repeat(UNIX_PATH_MAX)).into())).is_err());
        assert_eq!(endpoint(&Endpoint::Unix("/run/a b".into())).unwrap(), "\"unix:/run/a b\"");
    }

    #[test]
    fn forged_names_are_refused_whatever_the_types_promise() {
        let forged = |text: &str| serde_json::from_value::<Domain>(text.into()).unwrap();
        for name in ["x; } server {", "~^(.*)$", "a b", "*.com", "_", "", "UPPER"] {
            assert!(domain(&forged(name)).is_err(), "{name:?}");
        }
        let folder = |text: &str| serde_json::from_value::<InnerPath>(text.into()).unwrap();
        for name in ["../x", "a/../../x", "/etc", "a$b"] {
            assert!(inner(Path::new("/r"), &folder(name)).is_err(), "{name:?}");
        }
        assert_eq!(inner(Path::new("/r"), &folder(".")).unwrap(), "\"/r\"");
        let url = |text: &str| serde_json::from_value::<UrlPath>(text.into()).unwrap();
        for name in ["../x", "a$b"] {
            assert!(below_folder(Some(&folder(name))).is_err(), "{name:?}");
        }
        assert_eq!(below_folder(Some(&folder("a/b"))).unwrap(), "\"a/b/$stoa_rest\"");
        assert_eq!(below("/a.b;\"/").unwrap(), r#""~(?s)\\A/a\\.b\\;\\\"/(?<stoa_rest>.*)\\z""#);
        assert!(below("/a$/").is_err());
        assert_eq!(prefix(&url("/static")).unwrap(), "\"/static/\"");
        assert!(prefix(&url("static")).is_err() && prefix(&url("/a/../b")).is_err());
    }
}
