//! The target of a request and the host it is for: what is one, and its normal form.

/// The path space of the web face that visitors are kept out of: health is for the balancer to ask.
const OWN_SPACE: &[u8] = b".stoa";

/// A target in a form a server takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    /// The authority of an absolute target, which then stands for `Host`.
    pub(crate) authority: Option<&'a str>,
    /// The path and query. An absolute target may have none, or a query alone.
    pub(crate) path: &'a str,
}

impl<'a> Target<'a> {
    /// Takes a target apart; `None` where it is none that this method may have.
    pub(crate) fn read(method: &str, target: &'a str) -> Option<Target<'a>> {
        if !target.bytes().all(|b| matches!(b, b'!'..=b'~') && b != b'#') {
            return None;
        }
        if target.starts_with('/') {
            return Some(Target { authority: None, path: target });
        }
        if target == "*" {
            return (method == "OPTIONS").then_some(Target { authority: None, path: target });
        }
        let (scheme, rest) = target.split_once("://")?;
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return None;
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if !is_host(authority.as_bytes()) {
            return None;
        }
        let path = if path.is_empty() && method == "OPTIONS" { "*" } else { path };
        Some(Target { authority: Some(authority), path })
    }

    /// Writes the path and query as a server takes them.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        if self.path.is_empty() || self.path.starts_with('?') {
            out.push(b'/');
        }
        out.extend_from_slice(self.path.as_bytes());
    }

    /// Whether it lies where visitors have no business, however it is written.
    pub(crate) fn is_own_space(&self) -> bool {
        let path = self.path.split('?').next().unwrap_or_default();
        path.split('/').any(|segment| {
            // `%2f` hides a slash, but what is behind it is within the same segment here.
            decoded(segment.as_bytes()).eq(OWN_SPACE.iter().copied())
                || (segment.contains('%') && hides_own_space(segment.as_bytes()))
        })
    }
}

fn hides_own_space(segment: &[u8]) -> bool {
    let mut matched = Some(0);
    for byte in decoded(segment).chain([b'/']) {
        matched = match (byte, matched) {
            (b'/', Some(n)) if n == OWN_SPACE.len() => return true,
            (b'/', _) => Some(0),
            (byte, Some(n)) if OWN_SPACE.get(n) == Some(&byte) => Some(n + 1),
            _ => None,
        };
    }
    false
}

/// The bytes with `%` escapes undone once.
fn decoded(bytes: &[u8]) -> impl Iterator<Item = u8> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let byte = *bytes.get(at)?;
        let hex = |i: usize| char::from(*bytes.get(i)?).to_digit(16);
        if byte == b'%'
            && let (Some(high), Some(low)) = (hex(at + 1), hex(at + 2))
        {
            at += 3;
            return u8::try_from(high << 4 | low).ok();
        }
        at += 1;
        Some(byte)
    })
}

/// Whether `value` is a host with an optional port, as in `Host` and in an absolute target: a name, an
/// IPv4 address or an IPv6 address in brackets. No user, nothing empty.
pub(crate) fn is_host(value: &[u8]) -> bool {
    let (host_is_fine, port) = if let Some(rest) = value.strip_prefix(b"[") {
        let Some(end) = rest.iter().position(|b| *b == b']') else { return false };
        let (address, rest) = rest.split_at(end);
        let fine = std::str::from_utf8(address).is_ok_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok());
        (fine, &rest[1..])
    } else {
        let end = value.iter().position(|b| *b == b':').unwrap_or(value.len());
        let (name, rest) = value.split_at(end);
        let fine = !name.is_empty()
            && name.iter().all(
                |b| matches!(b, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'%'),
            );
        (fine, rest)
    };
    let port_is_fine = match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    host_is_fine && port_is_fine
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(method: &str, target: &str) -> Option<(Option<String>, String)> {
        let read = Target::read(method, target)?;
        let mut out = Vec::new();
        read.write(&mut out);
        Some((read.authority.map(str::to_owned), String::from_utf8(out).unwrap()))
    }

    #[test]
    fn targets() {
        let some =
            |authority: Option<&str>, path: &str| Some((authority.map(str::to_owned), path.to_owned()));
        assert_eq!(written("GET", "/a?b=c|d"), some(None, "/a?b=c|d"));
        assert_eq!(written("GET", "http://a.example:80/x"), some(Some("a.example:80"), "/x"));
        assert_eq!(written("GET", "HTTP://a.example"), some(Some("a.example"), "/"));
        assert_eq!(written("GET", "https://a.example?q"), some(Some("a.example"), "/?q"));
        assert_eq!(written("OPTIONS", "http://a.example"), some(Some("a.example"), "*"));
        assert_eq!(written("OPTIONS", "*"), some(None, "*"));
        for target in
            ["*", "a", "a.example:443", "ftp://a/", "http://", "http:///x", "http://u@a/", "/a#b", "/\u{e9}"]
        {
            assert_eq!(written("GET", target), None, "{target}");
        }
    }

    #[test]
    fn hosts() {
        for host in ["a", "a.example", "a:80", "a:", "127.0.0.1:8080", "[::1]", "[::1]:80", "A-b_c"] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in [
            "", ":80", "a b", "a,b", "a/b", "u@a", "a:b", "a:80:80", "[::1", "[x]", "[::1]x", "a\"b",
            "a:123456",
        ] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn the_space_of_the_balancer() {
        let own = |path: &str| Target { authority: None, path }.is_own_space();
        for path in [
            "/.stoa/health",
            "/.stoa",
            "/.stoa/x?y",
            "//.stoa/health",
            "/a/../.stoa/health",
            "/%2estoa/health",
            "/%2Esto%61",
            "/a%2f.stoa%2fhealth",
        ] {
            assert!(own(path), "{path}");
        }
        for path in ["/", "/stoa", "/.stoa2/x", "/a?b=/.stoa/", "/x.stoa/", "/%252estoa"] {
            assert!(!own(path), "{path}");
        }
    }
}
